/**
 * THE table of module names that differ between the model class (what an adapter speaks) and the checkpoint: one row
 * per rename. Prefixes are not here (module-paths.ts), fused experts
 * have a table of their own below.
 *
 * Law: transformers 5 conversion_mapping.py; each row is used only when the base has the renamed tensor and not the
 * module's own name, so no model type needs to be known.
 */

export interface ModuleRename {
  /** Which models it is for; for readers. */
  readonly family: string
  /** Module path as an adapter has it, after its prefix; `*` stands for one component. */
  readonly module: string
  /** The same module in the checkpoint; its `*` are filled in order. */
  readonly checkpoint: string
}

export const MODULE_RENAMES: readonly ModuleRename[] = [
  { family: 'gpt_neox', module: 'lm_head', checkpoint: 'embed_out' },
  { family: 'mixtral, minimax', module: 'model.layers.*.mlp.gate', checkpoint: 'model.layers.*.block_sparse_moe.gate' },
  { family: 'granitemoe', module: 'model.layers.*.block_sparse_moe.router', checkpoint: 'model.layers.*.block_sparse_moe.router.layer' },
]

/** How checkpoints store the experts that the model class holds as one parameter. */
export interface ExpertLayout {
  /** Which models it is for; for readers. */
  readonly family: string
  /** End of the path of the module that holds the parameters. */
  readonly module: string
  /** The same in the checkpoint; `.<expert>.<part>.weight` follows, or `.<part>.weight` when it is fused there too. */
  readonly checkpoint: string
  /** The parts of each parameter, whose rows follow one another. */
  readonly parts: Readonly<Record<string, readonly string[]>>
  readonly fused?: true
}

/** THE table of experts; every row that fits the base's names is right. */
export const EXPERT_LAYOUTS: readonly ExpertLayout[] = [
  {
    family: 'qwen2_moe, qwen3_moe, deepseek, glm4_moe, olmoe, …',
    module: 'mlp.experts',
    checkpoint: 'mlp.experts',
    parts: { gate_up_proj: ['gate_proj', 'up_proj'], down_proj: ['down_proj'] },
  },
  {
    family: 'mixtral, minimax, phimoe',
    module: 'mlp.experts',
    checkpoint: 'block_sparse_moe.experts',
    parts: { gate_up_proj: ['w1', 'w3'], down_proj: ['w2'] },
  },
  {
    family: 'jamba',
    module: 'feed_forward.experts',
    checkpoint: 'feed_forward.experts',
    parts: { gate_up_proj: ['gate_proj', 'up_proj'], down_proj: ['down_proj'] },
  },
  { family: 'lfm2_moe', module: 'feed_forward.experts', checkpoint: 'feed_forward.experts', parts: { gate_up_proj: ['w1', 'w3'], down_proj: ['w2'] } },
  { family: 'nemotron_h', module: 'mixer.experts', checkpoint: 'mixer.experts', parts: { up_proj: ['up_proj'], down_proj: ['down_proj'] } },
  {
    family: 'granitemoe',
    module: 'block_sparse_moe.experts',
    checkpoint: 'block_sparse_moe',
    parts: { gate_up_proj: ['input_linear'], down_proj: ['output_linear'] },
    fused: true,
  },
]

/** Every name that the table gives a module in the checkpoint. */
export function renamedModules(module: string, renames: readonly ModuleRename[] = MODULE_RENAMES): string[] {
  const parts = module.split('.')
  return renames.flatMap((rename) => {
    const wanted = rename.module.split('.')
    if (wanted.length !== parts.length || !wanted.every((part, i) => part === '*' || part === parts[i])) return []
    const free = parts.filter((_, i) => wanted[i] === '*')
    return [
      rename.checkpoint
        .split('.')
        .map((part) => (part === '*' ? (free.shift() ?? part) : part))
        .join('.'),
    ]
  })
}
