/**
 * What transformers fills in where config.json is silent, by model type: only keys that rows read. Data; a test holds it
 * against the golden config-defaults-5.23.json.
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

interface ModelTypeDefaults {
  /** Taken when the key is missing; an explicit null stays. */
  readonly missing: Readonly<Record<string, number | boolean>>
  /** Taken when the key is missing (here and above) or null. In this order. */
  readonly derived: Readonly<Record<string, Derivation>>
}

const ATTENTION: ModelTypeDefaults['derived'] = {
  num_key_value_heads: { same: 'num_attention_heads' },
  head_dim: { quotient: ['hidden_size', 'num_attention_heads'] },
}

/** By `model_type`; a Map, because the key is the user's text. */
export const CONFIG_DEFAULTS: ReadonlyMap<string, ModelTypeDefaults> = new Map(
  Object.entries<ModelTypeDefaults>({
    llama: {
      missing: { max_position_embeddings: 2048, rms_norm_eps: 1e-6, rope_theta: 10000 },
      derived: ATTENTION,
    },
    mistral: {
      missing: { max_position_embeddings: 131072, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 8 },
      derived: ATTENTION,
    },
    iquestcoder: {
      missing: { max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 10000, num_key_value_heads: 8, head_dim: 128 },
      derived: ATTENTION,
    },
  }),
)
