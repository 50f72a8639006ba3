/** Activations by transformers' names; what they mean is in src/merge/activations.ts. */
export const ACTIVATIONS = [
  ...(['relu', 'relu2', 'relu6', 'leaky_relu', 'gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh', 'quick_gelu'] as const),
  ...(['silu', 'swish', 'mish', 'tanh', 'sigmoid', 'linear'] as const),
] as const
export type Activation = (typeof ACTIVATIONS)[number]

/** Each computed in f64 and rounded once; `negExp` is -(e^x). */
export type ElementFunction = 'negExp' | 'cos' | 'sin' | Activation
