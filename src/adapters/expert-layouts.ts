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

/** Model types whose class holds inputs as rows (experts x in x out), and says so to PEFT. */
export const TRANSPOSED_IN_CLASS: ReadonlySet<string> = new Set(['gpt_oss', 'aria', 'aria_text', 'openai_privacy_filter'])

/** Model types whose checkpoint holds the transpose of what the class does. */
export const TRANSPOSED_ON_DISK: ReadonlySet<string> = new Set(['qwen3_vl_moe', 'qwen3_vl_moe_text'])
