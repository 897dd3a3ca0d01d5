// Whether all ranks of a job carry the interposer.
#pragma once

namespace interpose {

/// Collective over the ranks that carry it, before any of them begins anything with the others: a
/// rank that does not carry it takes part in nothing. False on all of them where a rank does not
/// carry it, which is said, or does not want it.
///
/// By the names that MPI publishes for a job. Where its launcher keeps none, all ranks are taken to
/// carry it. In the spawned jobs of an MPI whose launcher does not tell jobs apart none does.
bool everyone_takes_part(bool wanted);

} // namespace interpose
