// How often this thread has asked the free store for memory, and when it is to get none.
#pragma once

extern thread_local long allocations;
/// Once `allocations` has come here, one is refused; never below zero.
extern thread_local long refused_allocation;
