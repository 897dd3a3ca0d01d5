// The collectives. Every rank of the communicator calls the same ones in the same order.
//
// Parts are given after the data, in any order: a reducer (default `sum`), a topology (default
// `default_topology`), a codec (default `identity`), `options`; and the `codec_memory` of a codec that remembers, which
// outlives the call. Data is elements in contiguous memory,
// whatever a std::span is made of or has data() and size(), as Eigen's vectors and matrices; or one
// value. It is reduced in place. Shards and blocks are those of `shard_of`: as equal as can be, longer ones
// first.
//
//   all_reduce(comm, data, parts...)        every rank: the reduction of all ranks' data
//   all_reduce(comm, in, out, parts...)     the same, into out, of the same length
//   reduce_scatter(comm, data, parts...)    returns this rank's shard of the reduction; the rest of
//                                           data is left unspecified
//   all_gather(comm, data, parts...)        every rank's shard of data, to every rank, in place
//   all_gather(comm, mine, all, parts...)   equal blocks; all.size() == mine.size() * size
//   broadcast(comm, data, root, parts...)   root's data, to every rank
//   reduce(comm, data, root, parts...)      the reduction, at root; unspecified elsewhere
//   gather(comm, mine, all, root)           equal blocks, to root; `all` is read at root only
//   scatter(comm, all, mine, root)          equal blocks, from root
//   all_to_all(comm, send, receive)         block j of send to rank j; block i of receive from rank i
//   barrier(comm)                           returns when every rank has called it
//
// What may overlap, of one rank: `in` and `out` of all_reduce are the same memory or apart. `mine` is
// apart from `all` (of gather and scatter: at root), or this rank's own block of it, in its place. `send`
// and `receive` are apart. Anything else is refused with invalid_argument. The memory of ranks that are
// threads, and of calls that are in flight together, is apart, which nothing checks.
//
// `async_X` starts the same thing and returns a request; the data is the caller's again after
// wait(). Any number may be in flight. Weighted and agreeing reducers make their agreement before the
// call returns, so starting one waits for the other ranks.
// What is only read must not be a temporary in these forms.
//
// `persistent_X` (all_reduce, reduce_scatter, reduce, all_gather in place, broadcast, barrier) makes it
// and returns a persistent_request, to be started any number of times: nothing is planned or allocated
// again. It refers to the data, which outlives it; weights are agreed once, when it is made.
//
// Order. Every rank of a communicator starts the same collectives in the same order, whether by a
// blocking call, by async_X or by start() of a persistent one; making a persistent one that weighs or is
// `checked` counts as a call, too. They may be waited for in any order, and in another one on each rank:
// whoever waits for one pushes all of them along. Between starting and completion nobody else touches
// the data, and the memory of one is not that of another. Requests go on while any call on their
// communicator waits, at every test(), or on a thread of the communicator's own
// (mpi::limits::progress_thread); without any of these nothing moves while the caller computes.
//
// Determinism: run_to_run, and the same bits on every rank. Cost: tutti::traffic_of(topology, ...)
// messages and elements, for default_topology those of the one it stands for.
//
// Errors, as tutti::error: mismatch, peer_lost, timeout, transport; invalid_argument for roots, lengths,
// buffers that overlap and symmetric buffers that cannot work, and for weights that sum to nothing. After an error the
// communicator is revoked: every pending and later call on any rank fails with it - also after an
// argument that only its own rank can see, for the others may be at work already. Only what all ranks
// see before data moves leaves it as it was: weights, and everything that `checked` compares.
#pragma once

#include <tutti/collectives/blocks.hpp>     // gather, scatter, all_to_all, barrier
#include <tutti/collectives/copies.hpp>     // all_gather, broadcast
#include <tutti/collectives/later_reductions.hpp> // their async_ and persistent_ forms
#include <tutti/collectives/reductions.hpp> // all_reduce, reduce_scatter, reduce
