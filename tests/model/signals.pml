/* The protocol of include/tutti/communicators/signals.hpp and of the three operations that use it,
 * for N ranks that make OPERATIONS calls of kinds drawn at random, the same on every rank.
 *
 * Stores to memory and to flags may be seen in any order unless a release stands between them, and
 * loads made in any order unless an acquire does. Whoever reads something asserts that it is what
 * the protocol promises: neither older nor newer. One thing is taken away by
 *
 *   -DNO_RELEASE   what was written before an announcement may be seen after it
 *   -DNO_ACQUIRE   what is read after a flag may be read before it
 *   -DNO_FREE      a line is written again without looking whether everyone has read it
 *   -DONE_LINE     there is one line and slot a rank, not one for each parity
 *   -DNO_READY     in place: the work begins before everyone's data is ready
 *   -DNO_DONE      in place: the call ends before everyone's part is done
 *   -DONE_HALF     a stage has one place for windows, not two
 *   -DNUMBER_ANEW  windows are numbered anew in every call
 */
#ifndef N
#define N 2
#endif
#ifndef OPERATIONS
#define OPERATIONS 3
#endif

#ifdef ONE_LINE
#define LINE(e) 0
#else
#define LINE(e) ((e) % 2)
#endif
#ifdef ONE_HALF
#define HALVES 1
#else
#define HALVES 2
#endif

#ifndef WINDOWS
#define WINDOWS 2 /* of a staged call */
#endif

#define SLOT 0
#define BROADCAST 1 /* in slots, from rank 0, which waits for nobody */
#define IN_PLACE 2
#define STAGED 3
#define STAGED_COPY 4 /* from rank 0: nothing is folded, so it is copied out a step earlier */

byte kind[OPERATIONS];

byte at[N * 2];            /* flags: the epoch that a line was announced for */
byte slot[N * 2];          /* what is written beside them */
byte data[N];              /* everyone's own memory: contributions */
byte result[N * N];        /* and results, a part from every rank */
/* Stages: for every rank and what each is in charge of, a contribution, and then in its place the
 * result. */
byte stage[N * N * 2];
#define PLACE(in, of, window) stage[((in) * N + (of)) * 2 + (window) % HALVES]
#define RESULT 100

#define HAS_REACHED(r, e) (at[(r) * 2 + LINE(e)] >= (e))

/* The last store to memory and the announcement, in the order in which others see them. */
#ifdef NO_RELEASE
#define PUBLISH(store, e)                                                                          \
  if                                                                                               \
  :: store; at[me * 2 + LINE(e)] = e                                                               \
  :: at[me * 2 + LINE(e)] = e; store                                                               \
  fi
#else
#define PUBLISH(store, e) store; at[me * 2 + LINE(e)] = e
#endif

/* Waits until r has announced e, and loads what it wrote. */
#ifdef NO_ACQUIRE
#define OBSERVE(r, e, load)                                                                        \
  if                                                                                               \
  :: HAS_REACHED(r, e) -> load                                                                     \
  :: load; HAS_REACHED(r, e)                                                                       \
  fi
#else
#define OBSERVE(r, e, load) HAS_REACHED(r, e) -> load
#endif

#ifdef NO_FREE
#define AWAIT_FREE skip
#else
#define AWAIT_FREE                                                                                 \
  r = 0;                                                                                           \
  do                                                                                               \
  :: r < N && r != me -> HAS_REACHED(r, now); r++                                                  \
  :: r == me -> r++                                                                                \
  :: r == N -> break                                                                               \
  od
#endif

proctype rank(byte me) {
  byte call = 0, now = 0, r, seen, window = 0, first, place, step;
  do
  :: call == OPERATIONS -> break
  :: call < OPERATIONS && kind[call] == SLOT ->
    AWAIT_FREE;
    now++;
    PUBLISH(slot[me * 2 + LINE(now)] = now, now);
    r = 0;
    do
    :: r < N && r != me ->
      OBSERVE(r, now, seen = slot[r * 2 + LINE(now)]);
      assert(seen == now);
      r++
    :: r == me -> r++
    :: r == N -> break
    od;
    call++
  :: call < OPERATIONS && kind[call] == BROADCAST ->
    AWAIT_FREE;
    now++;
    PUBLISH(slot[me * 2 + LINE(now)] = now, now);
    if
    :: me != 0 ->
      OBSERVE(0, now, seen = slot[LINE(now)]);
      assert(seen == now)
    :: else
    fi;
    call++
  :: call < OPERATIONS && kind[call] == IN_PLACE ->
    AWAIT_FREE;
    now++;
    PUBLISH(data[me] = now, now);
    /* Everyone's contribution is read, and every part of a result written. */
    r = 0;
    do
    :: r < N ->
#ifdef NO_READY
      seen = data[r];
#else
      if
      :: r != me -> OBSERVE(r, now, seen = data[r])
      :: r == me -> seen = data[r]
      fi;
#endif
      assert(seen == now);
      r++
    :: r == N -> break
    od;
    r = 0;
    do
    :: r < N - 1 -> result[r * N + me] = now; r++
    :: r == N - 1 -> break
    od;
    now++;
    PUBLISH(result[(N - 1) * N + me] = now - 1, now);
    r = 0;
    do
    :: r < N ->
#ifdef NO_DONE
      seen = result[me * N + r];
#else
      if
      :: r != me -> OBSERVE(r, now, seen = result[me * N + r])
      :: r == me -> seen = result[me * N + r]
      fi;
#endif
      assert(seen == now - 1);
      r++
    :: r == N -> break
    od;
    call++
  :: call < OPERATIONS && kind[call] == STAGED ->
    AWAIT_FREE;
    first = window + 1;
#ifdef NUMBER_ANEW
    place = 1;
#else
    place = first;
#endif
    window = window + WINDOWS;
    step = 0;
    do
    :: step <= WINDOWS ->
      /* What is copied out is the result of the window before the last, what is folded the last. */
      r = 0;
      do
      :: r < N && r != me && step > 0 ->
        if
        :: step > 1 ->
          OBSERVE(r, now, seen = PLACE(me, r, place + step - 2));
          assert(seen == RESULT + first + step - 2)
        :: else
        fi;
        OBSERVE(r, now, seen = PLACE(r, me, place + step - 1));
        assert(seen == first + step - 1);
        r++
      :: r < N && (r == me || step == 0) -> r++
      :: r >= N -> break
      od;
      r = 0;
      do
      :: r < N && r != me ->
        if
        :: step > 0 -> PLACE(r, me, place + step - 1) = RESULT + first + step - 1
        :: else
        fi;
        if
        :: step < WINDOWS && r != (me + 1) % N -> PLACE(me, r, place + step) = first + step
        :: else
        fi;
        r++
      :: r < N && r == me -> r++
      :: r >= N -> break
      od;
      now++;
      if
      :: step < WINDOWS -> PUBLISH(PLACE(me, (me + 1) % N, place + step) = first + step, now)
      :: else -> PUBLISH(skip, now)
      fi;
      step++
    :: step > WINDOWS -> break
    od;
    r = 0;
    do
    :: r < N && r != me ->
      OBSERVE(r, now, seen = PLACE(me, r, place + WINDOWS - 1));
      assert(seen == RESULT + first + WINDOWS - 1);
      r++
    :: r == me -> r++
    :: r == N -> break
    od;
    call++
  :: call < OPERATIONS && kind[call] == STAGED_COPY ->
    AWAIT_FREE;
    first = window + 1;
#ifdef NUMBER_ANEW
    place = 1;
#else
    place = first;
#endif
    window = window + WINDOWS;
    step = 0;
    do
    :: step <= WINDOWS ->
      r = 0;
      do
      :: r < N && r != me && step > 0 ->
        if
        :: r == 0 ->
          OBSERVE(0, now, seen = PLACE(0, 1, place + step - 1));
          assert(seen == first + step - 1)
        :: else -> HAS_REACHED(r, now)
        fi;
        r++
      :: r < N && (r == me || step == 0) -> r++
      :: r >= N -> break
      od;
      if
      :: step < WINDOWS && me == 0 ->
        now++;
        PUBLISH(PLACE(0, 1, place + step) = first + step, now)
      :: step < WINDOWS && me != 0 ->
        now++;
        PUBLISH(skip, now)
      :: else
      fi;
      step++
    :: step > WINDOWS -> break
    od;
    call++
  od
}

init {
  byte k = 0;
  do
  :: k < OPERATIONS && true -> kind[k] = SLOT; k++
  :: k < OPERATIONS && true -> kind[k] = BROADCAST; k++
  :: k < OPERATIONS && true -> kind[k] = IN_PLACE; k++
  :: k < OPERATIONS && true -> kind[k] = STAGED; k++
  :: k < OPERATIONS && true -> kind[k] = STAGED_COPY; k++
  :: k == OPERATIONS -> break
  od;
  atomic {
    k = 0;
    do
    :: k < N -> run rank(k); k++
    :: k == N -> break
    od
  }
}
