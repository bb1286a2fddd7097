// What a report needs to show a cell without a server: sums in float64 of the numbers it carries.
// The rules and tolerances are those of vitreous.insight (docs/reference/contracts.md); a test
// compares every answer with the server's.

const SUM_TOLERANCE = 1e-6; // of the sum of |products|
const DRIFT = 8 * 2 ** -24; // of float32, times the root of the number of products
const ELEMENT_FLOOR = 1e-7; // absolute, near zero

export type Sum = { products: Float64Array; total: number; tolerance: number };

/** Window x kernel = products, their sum and the bias; and what rounding in float32 explains. */
export function windowSum(window: ArrayLike<number>, kernel: ArrayLike<number>, bias = 0): Sum {
  const products = new Float64Array(window.length);
  let total = bias;
  let size = Math.abs(bias);
  for (let at = 0; at < products.length; at++) {
    const product = window[at]! * kernel[at]!;
    products[at] = product;
    total += product;
    size += Math.abs(product);
  }
  return { products, total, tolerance: Math.max(SUM_TOLERANCE, DRIFT * Math.sqrt(products.length)) * size };
}

/** What rounding explains in an operation on numbers of these sizes. */
export function elementTolerance(...sizes: number[]): number {
  return Math.max(SUM_TOLERANCE * Math.max(...sizes.map(Math.abs)), ELEMENT_FLOOR);
}

type Numbers = Record<string, number>;
type Rule = { formula: string; value: (n: Numbers) => number; sizes?: (n: Numbers) => number[] };

const given = (n: Numbers, name: string, otherwise: number) => n[name] ?? otherwise;
const own = (n: Numbers) => [n.input!];
const both = (n: Numbers) => [n.input!, given(n, "alpha", 1) * n.other!];
const logistic = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const sixths = (x: number) => Math.min(Math.max(x + 3, 0), 6) / 6;

/** Functions of one number, or of two at the same place, by the operation's name. */
export const FUNCTIONS: Record<string, Rule> = {
  add: { formula: "input + other", value: (n) => n.input! + given(n, "alpha", 1) * n.other!, sizes: both },
  subtract: { formula: "input − other", value: (n) => n.input! - given(n, "alpha", 1) * n.other!, sizes: both },
  multiply: { formula: "input × other", value: (n) => n.input! * n.other! },
  divide: { formula: "input / other", value: (n) => n.input! / n.other! },
  relu: { formula: "max(0, x)", value: (n) => Math.max(n.input!, 0) },
  "leaky relu": {
    formula: "x, or slope × x below 0",
    value: (n) => (n.input! > 0 ? n.input! : given(n, "negative_slope", 0.01) * n.input!),
  },
  elu: {
    formula: "x, or alpha × (exp(x) − 1) below 0",
    value: (n) =>
      given(n, "scale", 1) *
      (n.input! > 0 ? n.input! : given(n, "alpha", 1) * Math.expm1(n.input! * given(n, "input_scale", 1))),
  },
  gelu: {
    formula: "x × share of a normal distribution below x",
    value: (n) => 0.5 * n.input! * complement(-n.input! / Math.SQRT2),
    sizes: own,
  },
  silu: { formula: "x / (1 + exp(−x))", value: (n) => n.input! * logistic(n.input!), sizes: own },
  clamp: {
    formula: "x, kept between the two limits",
    value: (n) => {
      const low = n.min_val ?? n.min;
      const high = n.max_val ?? n.max;
      const value = low === undefined ? n.input! : Math.max(n.input!, low);
      return high === undefined ? value : Math.min(value, high);
    },
  },
  "hard swish": { formula: "x × min(max(x + 3, 0), 6) / 6", value: (n) => n.input! * sixths(n.input!), sizes: own },
  "hard sigmoid": { formula: "min(max(x + 3, 0), 6) / 6", value: (n) => sixths(n.input!) },
  sigmoid: { formula: "1 / (1 + exp(−x))", value: (n) => logistic(n.input!) },
  tanh: { formula: "tanh(x)", value: (n) => Math.tanh(n.input!) },
  logarithm: { formula: "log(x)", value: (n) => Math.log(n.input!) },
  "square root": { formula: "√x", value: (n) => Math.sqrt(n.input!) },
  square: { formula: "x²", value: (n) => n.input! ** 2 },
  "absolute value": { formula: "|x|", value: (n) => Math.abs(n.input!) },
  negate: { formula: "−x", value: (n) => -n.input! },
};

/** The complement of the error function: by its series near zero, else by a continued fraction. */
export function complement(x: number): number {
  const size = Math.abs(x);
  if (size < 2.5) {
    // erf(x) = 2/√π exp(−x²) Σ 2^n x^(2n+1) / (1·3·…·(2n+1)): no terms of opposite sign
    let term = size;
    let sum = term;
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= (2 * size * size) / (2 * n + 1);
      sum += term;
    }
    const erf = (2 / Math.sqrt(Math.PI)) * Math.exp(-size * size) * sum;
    return x < 0 ? 1 + erf : 1 - erf;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction);
  const tail = Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + fraction);
  return x < 0 ? 2 - tail : tail;
}
