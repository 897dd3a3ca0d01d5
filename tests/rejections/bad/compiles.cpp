// REJECT typo: tutti: no
#if defined REJECT_typo
int compiles_after_all;
#else
int twin;
#endif
