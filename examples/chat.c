/* chat MODEL QUESTION: opens a GGUF file, asks, and prints the answer as it comes. The whole of elver in one file of
 * C99; docs/examples.md says how to build it. */
#include <elver/elver.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints what went wrong and releases it. */
static int fail(elver_error* error) {
    fprintf(stderr, "chat: %s\n", elver_error_message(error));
    elver_error_release(error);
    return 1;
}

/* A chat request for one question: JSON, which you free(); NULL if there is no memory. */
static char* request_for(const char* question) {
    static const char head[] =
        "{\"temperature\": 0, \"max_tokens\": 200, \"messages\": [{\"role\": \"user\", \"content\": \"";
    char* json = malloc(sizeof head + 6 * strlen(question) + sizeof "\"}]}");
    char* end = json;
    if (json == NULL) return NULL;
    end += sprintf(end, "%s", head);
    for (; *question != '\0'; ++question) {
        const unsigned char c = (unsigned char)*question;
        if (c < 0x20)
            end += sprintf(end, "\\u%04x", c);
        else
            end += sprintf(end, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    sprintf(end, "\"}]}");
    return json;
}

static int answer(elver_session* session, const char* question) {
    elver_event event = ELVER_EVENT_INIT;
    elver_error* error = NULL;
    char* request = request_for(question);
    elver_status status =
        request == NULL ? ELVER_OUT_OF_MEMORY : elver_session_chat(session, request, strlen(request), NULL, &error);
    free(request);
    if (status != ELVER_OK) return fail(error);
    while (event.finish == ELVER_FINISH_NONE) {
        if (elver_session_next(session, &event, &error) != ELVER_OK) return fail(error);
        fwrite(event.text, 1, event.text_size, stdout);
        fflush(stdout);
    }
    printf("\n");
    return 0;
}

int main(int argc, char** argv) {
    elver_source source = ELVER_SOURCE_INIT;
    elver_model* model = NULL;
    elver_session* session = NULL;
    elver_error* error = NULL;
    int result;
    if (argc != 3) {
        fprintf(stderr, "usage: chat MODEL QUESTION\n");
        return 2;
    }
    source.path = argv[1];
    source.path_size = strlen(argv[1]);
    if (elver_model_open(&source, NULL, &model, &error) != ELVER_OK ||
        elver_model_load(model, NULL, NULL, &error) != ELVER_OK ||
        elver_session_open(model, NULL, &session, &error) != ELVER_OK)
        result = fail(error);
    else
        result = answer(session, argv[2]);
    elver_session_release(session);
    elver_model_release(model);
    return result;
}
