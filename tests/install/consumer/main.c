/* Uses the installed library as another project would: the version, and an error that names its cause. */
#include <elver/elver_experimental.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    elver_source source = ELVER_SOURCE_INIT;
    elver_model* model = NULL;
    elver_error* error = NULL;
    source.path = "no-such-file.gguf";
    source.path_size = strlen(source.path);
    if (elver_model_open(&source, NULL, &model, &error) != ELVER_NOT_FOUND || model != NULL) return 1;
    if (elver_version_number() != ELVER_VERSION_NUMBER) return 1;
    printf("elver %s: %s\n", elver_version(), elver_error_message(error));
    if (strstr(elver_error_message(error), "no-such-file.gguf") == NULL) return 1;
    elver_error_release(error);
    return 0;
}
