/**
 * THE table of module names that differ between the model class (what an adapter speaks) and the checkpoint: one row
 * per rename. Prefixes are not here (module-paths.ts), nor fused experts.
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

export const MODULE_RENAMES: readonly ModuleRename[] = [{ family: 'gpt_neox', module: 'lm_head', checkpoint: 'embed_out' }]

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
