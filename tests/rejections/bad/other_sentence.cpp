// REJECT sentence: tutti: .*write something else
#if defined REJECT_sentence
static_assert(false, "tutti: not allowed");
static_assert(false, "write something else");
#else
int twin;
#endif
