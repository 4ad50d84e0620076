// The whole program of a link test: everything else comes from the library under test.
int main() { return 0; }
