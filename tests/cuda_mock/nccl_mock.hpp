// NCCL on the host, on the streams of the mock of the runtime: sends and receives of a group are over when all of them
// have met, ranks are threads, and calls are answered "in progress" for as long as a test wants.
#pragma once

#include <nccl.h>

#include <string>
#include <vector>

namespace mock_nccl {

/// No communicators, and nothing of what is said below.
void begin();

/// The call of this name answers `status`, the n-th time from now on (0: the next).
void fail(const std::string& call, ncclResult_t status, int n = 0);
/// What a call starts is in progress for so many looks; until then nothing enters a stream. `at_once` has the call
/// itself answer success all the same.
void in_progress(int looks, bool at_once = false);
/// What ncclCommGetAsyncError says of a rank from now on.
void async_error(int rank, ncclResult_t status);
/// ncclCommAbort returns when this is taken back, and not before.
void abort_blocks(bool blocks);
/// A rank does the groups of its communicators one at a time, whatever their streams: kernels that do not fit together.
void one_at_a_time(bool is_so);

/// How often a call was made, by all ranks.
int calls(const std::string& call);
/// Communicators that were neither destroyed nor aborted.
int left_over();
/// What was given to NCCL, by rank: "send 3 x 8" is to rank 3, 8 bytes; a group begins with "(" and ends with ")".
std::vector<std::string> record(int rank);

} // namespace mock_nccl
