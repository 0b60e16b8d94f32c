/* Another time of day for every program that loads this library: CLOCK_OFFSET seconds from the machine's.
 *
 * Only the time of day moves; timers run as always. A wait until a time of day is given back to the
 * system as that time on the machine's clock: a time before 2001 is one of the monotonic clock, which
 * no machine's uptime reaches, and stays as it is. Nothing here allocates, since an allocator may ask
 * for the time while it starts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define FIRST_TIME_OF_DAY 1000000000

static long offset(void) {
  static long known;
  static int is_known;
  if (!is_known) {
    const char *text = getenv("CLOCK_OFFSET");
    known = text ? strtol(text, NULL, 10) : 0;
    is_known = 1;
  }
  return known;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = (int)syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += offset();
  return result;
}

int timespec_get(struct timespec *time, int base) {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, time) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *kept) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (kept) *kept = now.tv_sec;
  return now.tv_sec;
}

static struct timespec of_machine(const struct timespec *until) {
  struct timespec real = *until;
  if (real.tv_sec >= FIRST_TIME_OF_DAY) real.tv_sec -= offset();
  return real;
}

/* The wait of the system. Of pthread_cond_timedwait there are two where glibc is old enough; the first
 * name is the one that programs of today are linked with. */
static void *system_wait(const char *name) {
  void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
  return found ? found : dlsym(RTLD_NEXT, name);
}

/* WAIT(NAME, PARAMETERS, ARGUMENTS): NAME waits until a time, its last argument. */
#define WAIT(NAME, PARAMETERS, ...)                                        \
  int NAME PARAMETERS {                                                    \
    static int(*next) PARAMETERS;                                          \
    if (!next) next = (int(*) PARAMETERS)system_wait(#NAME);               \
    struct timespec real = of_machine(until);                              \
    return next(__VA_ARGS__, &real);                                       \
  }

WAIT(pthread_cond_timedwait,
     (pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until),
     cond, mutex)
WAIT(pthread_mutex_timedlock, (pthread_mutex_t *restrict mutex, const struct timespec *restrict until), mutex)
WAIT(sem_timedwait, (sem_t *restrict semaphore, const struct timespec *restrict until), semaphore)
WAIT(cnd_timedwait, (cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until), cond, mutex)
WAIT(mtx_timedlock, (mtx_t *restrict mutex, const struct timespec *restrict until), mutex)
