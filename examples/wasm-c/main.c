/* Finds the IBANs in a text, and checks each by its check digits (ISO 13616, modulo 97).
 *
 * The input is JSON on stdin, searched as text; the output is JSON on stdout, the log goes to stderr. */

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 34, MOST_INPUT = 1 << 20 };

static const struct { char country[3]; int length; } COUNTRIES[] = {
    {"AT", 20}, {"BE", 16}, {"CH", 21}, {"CZ", 24}, {"DE", 22}, {"DK", 18}, {"ES", 24}, {"FI", 18}, {"FR", 27},
    {"GB", 22}, {"IE", 22}, {"IT", 27}, {"LU", 20}, {"NL", 18}, {"NO", 15}, {"PL", 28}, {"PT", 25}, {"SE", 24},
};

static char text[MOST_INPUT + 1];

static int length_in(const char *at) {
    for (size_t i = 0; i < sizeof COUNTRIES / sizeof *COUNTRIES; i++)
        if (strncmp(at, COUNTRIES[i].country, 2) == 0) return COUNTRIES[i].length;
    return 0;
}

/* Copies the IBAN that begins at `at`, without its spaces; returns how many characters of the text it has, or 0. */
static size_t read_iban(const char *at, char *iban) {
    int length = length_in(at), taken = 0;
    size_t used = 0;
    for (; taken < length; used++) {
        unsigned char c = at[used];
        if (isupper(c) || isdigit(c)) iban[taken++] = (char)c;
        else if (c != ' ' || taken < 4) return 0;
    }
    iban[taken] = '\0';
    return used;
}

static bool is_valid(const char *iban) {
    size_t length = strlen(iban);
    int rest = 0;
    for (size_t i = 0; i < length; i++) {
        char c = iban[(i + 4) % length]; /* country and check digits come last; A is 10, B is 11 */
        rest = isdigit((unsigned char)c) ? rest * 10 + (c - '0') : rest * 100 + (c - 'A' + 10);
        rest %= 97;
    }
    return rest == 1;
}

int main(void) {
    size_t size = fread(text, 1, MOST_INPUT, stdin);
    int found = 0;
    printf("{\"ibans\": [");
    for (size_t at = 0; at < size;) {
        char iban[LONGEST + 1];
        bool begins = at == 0 || !isalnum((unsigned char)text[at - 1]);
        size_t used = begins ? read_iban(text + at, iban) : 0;
        if (used > 0) {
            const char *valid = is_valid(iban) ? "true" : "false";
            printf("%s{\"iban\": \"%s\", \"valid\": %s}", found++ ? ", " : "", iban, valid);
        }
        at += used > 0 ? used : 1;
    }
    printf("]}\n");
    fprintf(stderr, "%d found in %zu bytes\n", found, size);
    return 0;
}
