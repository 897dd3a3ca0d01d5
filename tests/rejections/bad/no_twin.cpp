// REJECT lonely: tutti: no
#if defined REJECT_lonely
static_assert(false, "tutti: no");
#endif
