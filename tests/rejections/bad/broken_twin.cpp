// REJECT both: tutti: no
#if defined REJECT_both
static_assert(false, "tutti: no");
#else
static_assert(false, "tutti: neither");
#endif
