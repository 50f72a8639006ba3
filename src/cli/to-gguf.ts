/** `to-gguf MODEL [--adapter A[@WEIGHT]]...`: a model folder, with adapters fused if any, as GGUF and Modelfile. */
import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { parseAdapter } from './adapter-argument.js'
import { ggufOptions } from './gguf-options.js'
import type { CommandContext } from './exit.js'
import { addCommonOptions, addGgufOptions, exists, newCommand, several, type GgufFlags } from './options.js'

interface ConvertFlags extends GgufFlags {
  readonly adapter?: readonly string[]
  readonly printSupportedModels?: boolean
}

/** Builds the command. */
export function toGguf(context: CommandContext, name = 'to-gguf'): Command {
  const command = newCommand(name)
    .description('Converts a Hugging Face model folder to GGUF, with LoRA adapters merged in the same pass, and writes a Modelfile for Ollama.')
    .argument('[model]', 'folder of the model')
    .option('--adapter <A[@WEIGHT]>', 'LoRA adapter to merge; may be given several times', several)
    .option('-o, --outfile <F>', 'output file or folder; {ftype} and {FTYPE} stand for the type (default: by name and type, in the model’s folder)')
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
  // loaded here, so that --help need not wait for the planners
  const [{ planGguf }, { runPlan }] = await Promise.all([import('../host/plans.js'), import('./run-plan.js')])
  return runPlan(await planGguf({ ...ggufOptions(model, flags), adapters, outfile: flags.outfile }), flags, context)
}
