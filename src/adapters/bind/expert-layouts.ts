/**
 * THE table of how checkpoints store the experts that a model's class holds as one parameter: as one tensor, as one
 * tensor for each part, or as one for each part of each expert. Where the experts' module lies is a matter of
 * module-renames.ts; every row that fits the base's names is right.
 *
 * Law: transformers 5.23 conversion_mapping.py (MergeModulelist, Concatenate); PEFT 0.21.2 tuners/lora/layer.py
 * `ParamWrapper` (`is_transposed`).
 */

export interface ExpertLayout {
  /** Name of the parameter in the module of the experts: (experts x rows x cols). */
  readonly parameter: string
  /** Its rows, one part after the other, by their names in the checkpoint. */
  readonly parts: readonly string[]
}

export const EXPERT_LAYOUTS: readonly ExpertLayout[] = [
  { parameter: 'gate_up_proj', parts: ['gate_proj', 'up_proj'] },
  { parameter: 'gate_up_proj', parts: ['w1', 'w3'] },
  { parameter: 'gate_up_proj', parts: ['fc1', 'fc3'] },
  { parameter: 'down_proj', parts: ['down_proj'] },
  { parameter: 'down_proj', parts: ['w2'] },
  { parameter: 'down_proj', parts: ['fc2'] },
  { parameter: 'up_proj', parts: ['up_proj'] },
]

/** Layers that the class holds apart and the checkpoint as one, in equal parts one after the other; or the other way round. */
export interface FusedLinears {
  /** Ends of the paths in the class. */
  readonly parts: readonly string[]
  /** End of the path in the checkpoint. */
  readonly whole: string
}

/** THE table of fused linear layers; a row counts where the base has one side of it and the adapter the other. */
export const FUSED_LINEARS: readonly FusedLinears[] = [
  { parts: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'], whole: 'attn.Wqkv' }, // nomic_bert
  { parts: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'], whole: 'mixer.Wqkv' }, // jina_embeddings_v3
  { parts: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'], whole: 'attention.qkv_proj' }, // gte
  { parts: ['mlp.up_proj', 'mlp.gate_proj'], whole: 'mlp.up_gate_proj' }, // gte
  { parts: ['self_attn.gate_proj', 'self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'], whole: 'attn.gqkv_proj' }, // hrm_text
  { parts: ['mlp.gate_proj', 'mlp.up_proj'], whole: 'mlp.gate_up_proj' }, // hrm_text
  { parts: ['mlp.gate_proj', 'mlp.up_proj'], whole: 'mlp.weights_in' }, // dinov2
  { parts: ['shared_experts.gate_proj', 'shared_experts.up_proj'], whole: 'shared_experts.gate_up_proj' }, // minimax_m3_vl, turned round
]

/** Model types whose class holds inputs as rows (experts x in x out), and says so to PEFT. */
export const TRANSPOSED_IN_CLASS: ReadonlySet<string> = new Set(['gpt_oss', 'aria', 'aria_text', 'openai_privacy_filter'])
