/** `lora-merge BASE ADAPTER[@WEIGHT]... OUT`: adapters into a base, as a Hugging Face folder, a safetensors file or a GGUF. */
import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { splitPaths, SYNOPSIS } from './adapter-argument.js'
import { adapterOptions } from './adapter-options.js'
import type { CommandContext } from './exit.js'
import { ggufOptions } from './gguf-options.js'
import { addCommonOptions, addGgufOptions, exists, newCommand, several, type GgufFlags } from './options.js'
import { parseDtype, parseSize } from './values.js'

interface MergeFlags extends GgufFlags {
  readonly dtype?: string
  readonly maxShardSize?: string
  readonly component?: readonly string[]
}

/** Builds the command. */
export function loraMerge(context: CommandContext, name = 'lora-merge'): Command {
  const command = newCommand(name)
    .description(
      'Merges LoRA adapters into a base model. OUT is a folder, FILE.safetensors, FILE.pt (.pth, .bin: a state dict for torch), or FILE.gguf (merged and converted in one pass).',
    )
    .usage(`[options] ${SYNOPSIS.replace('lora-merge ', '')}`)
    .argument('[paths...]', 'base model, one or more adapters, output')
    .option('--dtype <TYPE>', 'auto, f32, f16, bf16: type of the merged weights (default: auto, as they are)')
    .option('--max-shard-size <SIZE>', 'size of one file, such as 5GB (default: the base’s own shards)')
    .option('--component <NAME>', 'of a diffusion pipeline, merge only into this model (unet, text_encoder_2 …); may be given several times', several)
  addGgufOptions(command).option('-o, --outfile <FILE>', 'the output, instead of naming it last')
  return addCommonOptions(command).action((paths: string[], flags: MergeFlags) => merge(paths, flags, context))
}

async function merge(paths: readonly string[], flags: MergeFlags, context: CommandContext): Promise<void> {
  if (flags.outfile !== undefined && paths.length < 2) throw new UsageError(`BASE and ADAPTER are wanted: ${SYNOPSIS}`)
  const { base, adapters, out } = splitPaths(flags.outfile === undefined ? paths : [...paths, flags.outfile], exists)
  // loaded here, so that --help need not wait for the planners
  const [{ planGguf, planMerge }, { refuseAdapterAsOutput }, { runPlan }] = await Promise.all([
    import('../host/plans.js'),
    import('./refuse-output.js'),
    import('./run-plan.js'),
  ])
  await refuseAdapterAsOutput(out)
  if (/\.gguf$/i.test(out)) {
    if (flags.dtype !== undefined || flags.maxShardSize !== undefined)
      throw new UsageError('--dtype and --max-shard-size are for folders; a .gguf takes --outtype.')
    if (flags.component !== undefined) throw new UsageError('--component is for diffusion pipelines, which no GGUF holds.')
    return runPlan(await planGguf({ ...ggufOptions(base, flags), adapters, outfile: out }), flags, context)
  }
  refuseGgufFlags(flags)
  const plan = await planMerge({
    base,
    adapters,
    out,
    dtype: flags.dtype === undefined ? undefined : parseDtype('--dtype', flags.dtype),
    maxShardBytes: flags.maxShardSize === undefined ? undefined : parseSize('--max-shard-size', flags.maxShardSize),
    tokenizer: flags.tokenizer,
    receipt: flags.receipt,
    clampOverflow: flags.clampOverflow,
    ...adapterOptions(flags),
    dequantizeBase: flags.dequantizeBase,
    components: flags.component,
  })
  return runPlan(plan, flags, context)
}

function refuseGgufFlags(flags: MergeFlags): void {
  const given = Object.entries({
    '--outtype': flags.outtype,
    '--model-name': flags.modelName,
    '--metadata': flags.metadata,
    '--vocab-only': flags.vocabOnly,
    '--no-vocab': flags.vocab ? undefined : true,
    '--pre': flags.pre,
  }).filter(([, value]) => value !== undefined)
  if (given.length > 0) throw new UsageError(`${given.map(([name]) => name).join(', ')}: for an OUT that ends in .gguf; a folder takes --dtype.`)
}
