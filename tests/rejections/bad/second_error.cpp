// REJECT late: tutti: no
#if defined REJECT_late
static_assert(false, "something else");
static_assert(false, "tutti: no");
#else
int twin;
#endif
