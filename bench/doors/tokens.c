/* tokens MODEL: for each line read, an answer of 128 tokens through the C ABI; prints the microseconds a token took. */
#define _POSIX_C_SOURCE 200112L
#include <elver/elver.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char request[] =
    "{\"prompt\": \"Once upon a time\", \"temperature\": 0, \"max_tokens\": 128, \"ignore_eos\": true}";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* The time from the first token to the end; negative if a call fails. */
static double answer(elver_session* session) {
    elver_event event = ELVER_EVENT_INIT;
    double begun;
    if (elver_session_complete(session, request, strlen(request), NULL, NULL) != ELVER_OK ||
        elver_session_next(session, &event, NULL) != ELVER_OK)
        return -1;
    begun = now();
    while (event.finish == ELVER_FINISH_NONE) {
        if (elver_session_next(session, &event, NULL) != ELVER_OK) return -1;
    }
    return (now() - begun) / 127;
}

int main(int argc, char** argv) {
    elver_source source = ELVER_SOURCE_INIT;
    elver_model* model = NULL;
    elver_session* session = NULL;
    int letter;
    source.path = argc == 2 ? argv[1] : "";
    source.path_size = strlen(source.path);
    if (elver_model_open(&source, NULL, &model, NULL) != ELVER_OK ||
        elver_model_load(model, NULL, NULL, NULL) != ELVER_OK ||
        elver_session_open(model, NULL, &session, NULL) != ELVER_OK)
        return 1;
    while ((letter = getchar()) != EOF) {
        double t;
        if (letter != '\n') continue;
        t = answer(session);
        if (t < 0) return 1;
        printf("%.2f\n", t);
        fflush(stdout);
    }
    elver_session_release(session);
    elver_model_release(model);
    return 0;
}
