#include "script/queue.h"

#include "../unit.h"

#define JOBS 8

struct scene;

struct probe {
    struct job job; /* first */
    struct scene *scene;
    char name;
    unsigned again;       /* so many times more it adds itself */
    uint64_t takes;       /* nanoseconds, at least */
    struct probe *remove; /* taken out of the queue while this one runs */
};

struct scene {
    struct ev_loop *loop;
    struct queue queue;
    struct probe probes[JOBS];
    unsigned nprobes;
    char log[4096]; /* names as they ran, "." for a flush */
    size_t len;
    bool inside;                /* of a job */
    uint64_t spent[LANE_COUNT]; /* by the jobs of a lane */
    uint64_t longest;           /* job */
    uint64_t slice, slices;     /* the last that was told of, and how many were */
};

static void note(struct scene *scene, char what)
{
    ck_assert_uint_lt(scene->len + 1, sizeof scene->log);
    scene->log[scene->len++] = what;
    scene->log[scene->len] = '\0';
}

static void probe_run(struct job *job)
{
    struct probe *probe = (struct probe *)job;
    struct scene *scene = probe->scene;
    uint64_t began = clock_seen(), took = 0;

    ck_assert(!scene->inside);
    ck_assert(!job->queued);
    scene->inside = true;
    note(scene, probe->name);
    while (took < probe->takes)
        took = clock_look() - began;
    if (probe->again) {
        probe->again--;
        queue_add(&scene->queue, job, job->lane);
    }
    if (probe->remove)
        queue_remove(&scene->queue, &probe->remove->job);
    scene->spent[job->lane] += took;
    if (took > scene->longest)
        scene->longest = took;
    scene->inside = false;
}

static void flushed(void *context)
{
    note(context, '.');
}

static void held(void *context, uint64_t nanoseconds)
{
    struct scene *scene = context;

    scene->slice = nanoseconds;
    scene->slices++;
}

static void scene_open(struct scene *scene)
{
    *scene = (struct scene){.loop = ev_loop_new(EVFLAG_AUTO)};
    queue_open(&scene->queue, scene->loop);
}

static void scene_close(struct scene *scene)
{
    queue_close(&scene->queue);
    ev_loop_destroy(scene->loop);
}

static struct probe *add(struct scene *scene, char name, enum lane lane)
{
    struct probe *probe = &scene->probes[scene->nprobes++];

    *probe = (struct probe){.scene = scene, .name = name};
    job_init(&probe->job, probe_run);
    queue_add(&scene->queue, &probe->job, lane);
    return probe;
}

/* One that takes so long each time. */
static void add_work(struct scene *scene, char name, enum lane lane, unsigned times, uint64_t takes)
{
    struct probe *probe = add(scene, name, lane);

    probe->again = times - 1;
    probe->takes = takes;
}

/* So many turns as it takes until that has run: a slice may be over at any time. */
static void run_until(struct scene *scene, char last, size_t times)
{
    size_t seen = 0;

    while (seen < times) {
        ev_run(scene->queue.loop, EVRUN_ONCE);
        seen = 0;
        for (const char *at = scene->log; *at; at++)
            seen += *at == last;
    }
}

START_TEST(jobs_of_a_lane_run_in_their_order)
{
    struct scene scene;

    scene_open(&scene);
    add(&scene, 'a', LANE_SHORT)->again = 1;
    add(&scene, 'b', LANE_SHORT);
    add(&scene, 'c', LANE_SHORT);
    run_until(&scene, 'a', 2);
    ck_assert_str_eq(scene.log, "abca");
    scene_close(&scene);
}
END_TEST

START_TEST(what_is_removed_does_not_run)
{
    struct scene scene;
    struct probe *last;

    scene_open(&scene);
    queue_remove(&scene.queue, &add(&scene, 'a', LANE_SHORT)->job);
    queue_remove(&scene.queue, &scene.probes[0].job);
    scene.probes[0].remove = last = add(&scene, 'b', LANE_LONG);
    queue_add(&scene.queue, &scene.probes[0].job, LANE_SHORT);
    ck_assert(last->job.queued);
    ev_run(scene.queue.loop, EVRUN_ONCE);
    ck_assert(!last->job.queued);
    ck_assert_str_eq(scene.log, "a");
    scene_close(&scene);
}
END_TEST

/* Of all that have work the one that has had the least by weight is next, so none is ahead of
 * another by more than a job. */
static void check_shares(const struct scene *scene, uint64_t margin)
{
    static const unsigned weights[] = {
#define X(id, weight) weight,
        QUEUE_LANES(X)
#undef X
    };

    for (int a = 0; a < LANE_COUNT; a++) {
        for (int b = 0; b < LANE_COUNT; b++)
            ck_assert_uint_le(scene->spent[a] / weights[a], scene->spent[b] / weights[b] + margin);
    }
}

START_TEST(lanes_share_the_time_by_weight)
{
    struct scene scene;

    scene_open(&scene);
    add_work(&scene, 's', LANE_SHORT, 1000, CLOCK_MILLISECOND / 20);
    add_work(&scene, 'l', LANE_LONG, 1000, CLOCK_MILLISECOND / 5);
    add_work(&scene, 'b', LANE_BACKGROUND, 1000, CLOCK_MILLISECOND / 10);
    for (int i = 0; i < 20; i++) {
        ev_run(scene.queue.loop, EVRUN_ONCE);
        check_shares(&scene, scene.longest + 1000); /* each division may lose a nanosecond */
    }
    for (int lane = 0; lane < LANE_COUNT; lane++)
        ck_assert_uint_gt(scene.spent[lane], 0);
    scene_close(&scene);
}
END_TEST

START_TEST(a_lane_that_was_empty_has_saved_nothing_up)
{
    struct scene scene;

    scene_open(&scene);
    add_work(&scene, 's', LANE_SHORT, 1000, CLOCK_MILLISECOND / 10);
    for (int i = 0; i < 10; i++)
        ev_run(scene.queue.loop, EVRUN_ONCE);
    memset(scene.spent, 0, sizeof scene.spent);
    add_work(&scene, 'l', LANE_LONG, 1000, CLOCK_MILLISECOND / 10);
    add_work(&scene, 'b', LANE_BACKGROUND, 1000, CLOCK_MILLISECOND / 10);
    for (int i = 0; i < 10; i++) {
        ev_run(scene.queue.loop, EVRUN_ONCE);
        check_shares(&scene, 2 * scene.longest + 1000); /* and one that was under way */
    }
    scene_close(&scene);
}
END_TEST

START_TEST(what_was_said_leaves_between_slices)
{
    struct scene scene;

    scene_open(&scene);
    queue_serve(&scene.queue, flushed, held, &scene);
    add_work(&scene, 'a', LANE_SHORT, 1, QUEUE_SLICE);
    add(&scene, 'b', LANE_SHORT);
    ev_run(scene.queue.loop, EVRUN_ONCE);
    ck_assert_str_eq(scene.log, "..a");
    ck_assert_uint_eq(scene.slices, 1);
    ck_assert_uint_ge(scene.slice, QUEUE_SLICE);
    ev_run(scene.queue.loop, EVRUN_ONCE);
    ck_assert_str_eq(scene.log, "..a..b");
    ck_assert_uint_eq(scene.slices, 2);
    queue_serve(&scene.queue, NULL, NULL, NULL);
    scene_close(&scene);
}
END_TEST

START_TEST(the_background_has_slices_of_its_own)
{
    struct scene scene;

    scene_open(&scene);
    queue_serve(&scene.queue, flushed, NULL, &scene);
    add(&scene, 'b', LANE_BACKGROUND);
    add(&scene, 's', LANE_SHORT);
    add(&scene, 'l', LANE_LONG);
    run_until(&scene, 'b', 1);
    ck_assert_str_eq(scene.log + strlen(scene.log) - 4, "l..b");
    ck_assert_ptr_nonnull(strchr(scene.log, 's'));
    queue_serve(&scene.queue, NULL, NULL, NULL);
    scene_close(&scene);
}
END_TEST

/* Were it to block, the test would end at its time limit. */
START_TEST(the_loop_does_not_block_while_there_are_jobs)
{
    struct scene scene;
    ev_timer never;

    scene_open(&scene);
    ev_timer_init(&never, NULL, 1e6, 0);
    ev_timer_start(scene.loop, &never);
    add_work(&scene, 'a', LANE_SHORT, 3, QUEUE_SLICE);
    ev_run(scene.queue.loop, EVRUN_ONCE);
    ev_run(scene.queue.loop, EVRUN_ONCE);
    ev_run(scene.queue.loop, EVRUN_ONCE);
    ck_assert_str_eq(scene.log, "aaa");
    ev_timer_stop(scene.loop, &never);
    scene_close(&scene);
}
END_TEST

START_TEST(the_loop_ends_with_the_last_job)
{
    struct scene scene;

    scene_open(&scene);
    add_work(&scene, 'a', LANE_BACKGROUND, 5, QUEUE_SLICE);
    ev_run(scene.loop, 0);
    ck_assert_str_eq(scene.log, "aaaaa");
    scene_close(&scene);
}
END_TEST

UNIT_MAIN("queue", jobs_of_a_lane_run_in_their_order, what_is_removed_does_not_run,
          lanes_share_the_time_by_weight, a_lane_that_was_empty_has_saved_nothing_up,
          what_was_said_leaves_between_slices, the_background_has_slices_of_its_own,
          the_loop_does_not_block_while_there_are_jobs, the_loop_ends_with_the_last_job)
