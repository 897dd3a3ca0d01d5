// Source of the examples in bad.md. Not compiled.

// example-begin changed
int answer = 42;
// example-end changed

void right() {
  // example-begin right
  if (true) {
    int this_one_is_right = 0;
  }
  // example-end right
}
