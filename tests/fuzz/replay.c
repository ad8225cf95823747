/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a fuzzer's inputs without libFuzzer, so with any compiler: replay_X FILE... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length_bytes);

/* Each input lies in memory of its own length, as with libFuzzer. */
static void replay(const char *path)
{
    static uint8_t buffer[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    size_t length_bytes;
    uint8_t *bytes;

    if (!file) {
        perror(path);
        exit(1);
    }
    length_bytes = fread(buffer, 1, sizeof(buffer), file);
    (void)fclose(file);
    bytes = malloc(length_bytes + 1);
    if (!bytes)
        exit(1);
    for (size_t i = 0; i < length_bytes; i++)
        bytes[i] = buffer[i];
    (void)LLVMFuzzerTestOneInput(bytes, length_bytes);
    free(bytes);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        fprintf(stderr, "%s\n", argv[i]); /* the last one is that which fails */
        replay(argv[i]);
    }
    return 0;
}
