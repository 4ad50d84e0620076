// `trainyard-trainer evaluate` and `predict`: a bundle on data, in this process; `inspect`: what a model is.
// argv[0] is the name of the verb.
#pragma once

namespace trainyard::trainer {

int evaluate_main(int argc, char** argv);
int predict_main(int argc, char** argv);
int inspect_main(int argc, char** argv);

}  // namespace trainyard::trainer
