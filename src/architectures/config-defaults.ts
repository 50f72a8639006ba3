/**
 * What transformers fills in where config.json is silent. Families say it by model type (`defaults`): only keys that their
 * rows read; a test holds them against the golden config-defaults-5.23.json.
 *
 * Not filled in, though transformers has numbers for them: the sizes that every config states (hidden_size,
 * intermediate_size, num_hidden_layers, num_attention_heads, vocab_size). A config without them describes no model, and a
 * guess would surface as nonsense about tensors.
 *
 * Law: transformers 5.23 `*Config` classes. 4.57.6 (the version llama.cpp pins) differs in one thing: it leaves Mistral's
 * head_dim null, and the reference then writes no key_length and value_length. All golden files are equal under both;
 * 5.23 is followed because it is what made them, and the two keys only spell out llama.cpp's own default.
 */

/** A value computed from other keys when its own is missing or null. */
export type Derivation = { readonly same: string } | { readonly quotient: readonly [dividend: string, divisor: string] }

export interface ModelTypeDefaults {
  /** Taken when the key is missing; an explicit null stays. */
  readonly missing: Readonly<Record<string, number | boolean | string>>
  /** Taken when the key is missing (here and above) or null. In this order. */
  readonly derived?: Readonly<Record<string, Derivation>>
}

type Derivations = NonNullable<ModelTypeDefaults['derived']>

/** As many key and value heads as heads. */
export const ALL_HEADS: Derivations = { num_key_value_heads: { same: 'num_attention_heads' } }

/** As many key and value heads as heads, and heads as wide as the hidden state allows. */
export const ATTENTION: Derivations = {
  ...ALL_HEADS,
  head_dim: { quotient: ['hidden_size', 'num_attention_heads'] },
}
