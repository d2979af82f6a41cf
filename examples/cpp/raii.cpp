// A model and its streams as C++ values that free themselves, and a sequence run twice: at once and step by step.
//
//     c++ -std=c++11 raii.cpp $(cylstm config --cflags --libs) -o raii
//     ./raii model.safetensors
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cylstm.h"

struct Free {
    void operator()(cylstm_model *model) const { cylstm_model_free(model); }
    void operator()(cylstm_state *state) const { cylstm_state_free(state); }
};
using Model = std::unique_ptr<cylstm_model, Free>;
using State = std::unique_ptr<cylstm_state, Free>;

static void check(cylstm_status status, const char *what)
{
    if (status != CYLSTM_OK) throw std::runtime_error(std::string(what) + ": " + cylstm_status_name(status));
}

static Model load(const char *path)
{
    char message[200];
    cylstm_model *model;
    check(cylstm_load(path, nullptr, &model, message, sizeof message), message);
    return Model(model);
}

static State make_state(const Model &model, int64_t max_steps)
{
    cylstm_state_options options = {};
    options.struct_size = sizeof options;
    options.max_steps = max_steps;
    cylstm_state *state;
    check(cylstm_state_new(model.get(), &options, &state), "state");
    return State(state);
}

int main(int argc, char **argv)
try {
    if (argc != 2) throw std::runtime_error("usage: raii model.safetensors");
    const int64_t steps = 10;
    const Model model = load(argv[1]);
    const cylstm_config &config = *cylstm_model_config(model.get());
    if (config.pooling != CYLSTM_POOL_NONE) throw std::runtime_error("expected outputs of steps");
    const size_t inputs = cylstm_input_width(model.get()), outputs = cylstm_output_width(model.get());
    std::vector<float> x(steps * inputs), at_once(steps * outputs), by_steps(steps * outputs);
    for (size_t i = 0; i < x.size(); i++) x[i] = 0.1f * static_cast<float>(i % 7);
    check(cylstm_run(make_state(model, steps).get(), steps, x.data(), at_once.data()), "run");
    const State stream = make_state(model, 1);
    for (int64_t t = 0; t < steps; t++) {
        check(cylstm_step(stream.get(), &x[t * inputs], &by_steps[t * outputs]), "step");
        std::printf("%.9g\n", static_cast<double>(by_steps[t * outputs]));
    }
    std::printf("%s\n", at_once == by_steps ? "the same bits" : "other bits");
    return at_once == by_steps ? 0 : 1;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
