// Reads {"numbers": [...]} on stdin and prints what there is to say about them as JSON.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_all(void) {
  size_t size = 0, room = 4096;
  char *text = malloc(room);
  for (size_t n; text && (n = fread(text + size, 1, room - size - 1, stdin)) > 0;) {
    size += n;
    if (room - size < 2) text = realloc(text, room *= 2);
  }
  if (text) text[size] = 0;
  return text;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(void) {
  char *text = read_all();
  char *at = text ? strstr(text, "\"numbers\"") : NULL;
  at = at ? strchr(at, '[') : NULL;
  if (!at) {
    fputs("the input has no numbers\n", stderr);
    return 2;
  }
  size_t count = 0, room = 16;
  double *numbers = malloc(room * sizeof *numbers);
  for (at++; *at && *at != ']'; at += *at == ',') {
    char *end;
    double number = strtod(at, &end);
    if (end == at) {
      fprintf(stderr, "not a number: %.10s\n", at);
      return 3;
    }
    if (count == room) numbers = realloc(numbers, (room *= 2) * sizeof *numbers);
    numbers[count++] = number;
    at = end + strspn(end, " \n\t");
  }
  if (!count) return puts("{\"count\":0}"), 0;
  qsort(numbers, count, sizeof *numbers, ascending);
  double sum = 0, squares = 0;
  for (size_t i = 0; i < count; i++) sum += numbers[i];
  double mean = sum / count;
  for (size_t i = 0; i < count; i++) squares += (numbers[i] - mean) * (numbers[i] - mean);
  double median = (numbers[(count - 1) / 2] + numbers[count / 2]) / 2;
  const char *unit = getenv("UNIT");
  fprintf(stderr, "%zu numbers\n", count);
  printf("{\"count\":%zu,\"mean\":%.6g,\"median\":%.6g,\"deviation\":%.6g,\"unit\":\"%s\"}\n", count, mean,
         median, sqrt(squares / count), unit ? unit : "");
  free(numbers);
  free(text);
  return 0;
}
