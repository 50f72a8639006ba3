/** `to-gguf MODEL [--adapter A[@WEIGHT]]...`: a model folder or a GGUF, with adapters fused if any, as GGUF and Modelfile. */
import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { parseAdapter } from './adapter-argument.js'
import { ggufOptions } from './gguf-options.js'
import type { CommandContext } from './exit.js'
import { addCommonOptions, addGgufOptions, exists, newCommand, several, type GgufFlags } from './options.js'

interface ConvertFlags extends GgufFlags {
  readonly adapter?: readonly string[]
  readonly printSupportedModels?: boolean
  readonly sizes?: boolean
  readonly measure?: boolean
}

/** Builds the command. */
export function toGguf(context: CommandContext, name = 'to-gguf'): Command {
  const command = newCommand(name)
    .description(
      'Converts a Hugging Face model folder, or a GGUF file, to GGUF of any type, with LoRA adapters merged in the same pass, and writes a Modelfile for Ollama.',
    )
    .argument('[model]', 'folder of the model, or a GGUF file (of a split one, any part)')
    .option('--adapter <A[@WEIGHT]>', 'LoRA adapter to merge; may be given several times', several)
    .option('-o, --outfile <F>', 'output file or folder; {ftype} and {FTYPE} stand for the type (default: by name and type, in the model’s folder)')
    .option('--sizes', 'list every type with its file size, bits per weight and the cards it fits; write nothing')
    .option('--measure', 'with --sizes: the error of each type, too, on sampled rows of the weights')
    .option('--print-supported-models', 'list the architectures that can be converted')
  return addCommonOptions(addGgufOptions(command)).action((model: string | undefined, flags: ConvertFlags) => convert(model, flags, context))
}

async function convert(model: string | undefined, flags: ConvertFlags, context: CommandContext): Promise<void> {
  if (flags.printSupportedModels === true) {
    const { supportedArchitectures } = await import('../architectures/registry.js')
    const names = supportedArchitectures()
    process.stdout.write(flags.json === true ? `${JSON.stringify({ event: 'result', supportedModels: names })}\n` : `${names.join('\n')}\n`)
    return
  }
  if (model === undefined) throw new UsageError('MODEL is missing: to-gguf MODEL [--adapter A[@WEIGHT]]... [--outtype TYPE]')
  const adapters = (flags.adapter ?? []).map((typed) => parseAdapter(typed, exists))
  if (flags.measure === true && flags.sizes !== true) throw new UsageError('--measure goes with --sizes.')
  if (flags.sizes === true) {
    const { showSizes } = await import('./sizes.js')
    return showSizes({ ...ggufOptions(model, flags), adapters }, flags)
  }
  // loaded here, so that --help need not wait for the planners
  const [{ planGguf }, { runPlan }] = await Promise.all([import('../host/plans.js'), import('./run-plan.js')])
  return runPlan(await planGguf({ ...ggufOptions(model, flags), adapters, outfile: flags.outfile }), flags, context)
}
