// The same cell in Eigen, every size known to the compiler: what RTNeural compiles to.
#include <cstdint>

#define EIGEN_STACK_ALLOCATION_LIMIT 0  // weights are members, however large
#include <Eigen/Core>

namespace {

template <int Rows, int Columns>
using Matrix = Eigen::Matrix<float, Rows, Columns>;
template <int Rows>
using Vector = Eigen::Matrix<float, Rows, 1>;
template <int Rows, int Columns>  // a single column counts as columns
using Weights = Eigen::Map<const Eigen::Matrix<float, Rows, Columns, Columns == 1 ? Eigen::ColMajor : Eigen::RowMajor>>;

struct Stream {
    virtual ~Stream() = default;
    virtual void run(const float *x, std::int64_t steps, float *y) = 0;
};

// gates = [W_ih W_hh b] [x; h; 1]
template <int I, int H>
class OneProduct {
    Matrix<4 * H, I + H + 1> weights;
    Vector<I + H + 1> input = Vector<I + H + 1>::Zero();

public:
    explicit OneProduct(const float *p)
    {
        weights << Weights<4 * H, I>(p), Weights<4 * H, H>(p + 4 * H * I),
            Weights<4 * H, 1>(p + 4 * H * (I + H)) + Weights<4 * H, 1>(p + 4 * H * (I + H + 1));
        input(I + H) = 1.0f;
    }
    void operator()(const float *x, Vector<4 * H> &gates)
    {
        input.template head<I>() = Eigen::Map<const Vector<I>>(x);
        gates.noalias() = weights * input;
    }
    auto h() { return input.template segment<H>(I); }
};

// gates = b + W_ih x + W_hh h
template <int I, int H>
class TwoProducts {
    Matrix<4 * H, I> input_weights;
    Matrix<4 * H, H> recurrent_weights;
    Vector<4 * H> bias;
    Vector<H> hidden = Vector<H>::Zero();

public:
    explicit TwoProducts(const float *p)
        : input_weights(Weights<4 * H, I>(p)), recurrent_weights(Weights<4 * H, H>(p + 4 * H * I)),
          bias(Weights<4 * H, 1>(p + 4 * H * (I + H)) + Weights<4 * H, 1>(p + 4 * H * (I + H + 1)))
    {
    }
    void operator()(const float *x, Vector<4 * H> &gates)
    {
        gates = bias;
        gates.noalias() += input_weights * Eigen::Map<const Vector<I>>(x);
        gates.noalias() += recurrent_weights * hidden;
    }
    auto h() { return hidden.template head<H>(); }
};

template <class Gates, int I, int H>
class Lstm final : public Stream {
    Gates project;
    Vector<4 * H> gates;
    Eigen::Array<float, H, 1> c = Eigen::Array<float, H, 1>::Zero();

    // c = sigmoid(f) * c + sigmoid(i) * tanh(g);  h = sigmoid(o) * tanh(c)
    void step(const float *x, float *y)
    {
        project(x, gates);
        auto i = gates.template segment<H>(0).array(), f = gates.template segment<H>(H).array();
        auto g = gates.template segment<H>(2 * H).array(), o = gates.template segment<H>(3 * H).array();
        c = f.logistic() * c + i.logistic() * g.tanh();
        project.h().array() = o.logistic() * c.tanh();
        Eigen::Map<Vector<H>>(y, H) = project.h();
    }

public:
    explicit Lstm(const float *parameters) : project(parameters) {}
    void run(const float *x, std::int64_t steps, float *y) override
    {
        for (std::int64_t t = 0; t < steps; t++) step(x + t * I, y + t * H);
    }
};

template <int I, int H>
Stream *make(int products, const float *parameters)
{
    if (products == 1) return new Lstm<OneProduct<I, H>, I, H>(parameters);
    return new Lstm<TwoProducts<I, H>, I, H>(parameters);
}

}  // namespace

// A stream as core_make's; null for sizes that were not compiled.
extern "C" void *eigen_make(std::int64_t inputs, std::int64_t hidden, const float *parameters, int products)
{
#define SIZE(I, H) \
    if (inputs == (I) && hidden == (H)) return make<I, H>(products, parameters);
    SIZES
    return nullptr;
}

extern "C" void eigen_run(void *made, const float *x, std::int64_t steps, float *y)
{
    static_cast<Stream *>(made)->run(x, steps, y);
}

extern "C" void eigen_free(void *made)
{
    delete static_cast<Stream *>(made);
}
