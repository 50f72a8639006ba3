/** Options that the commands share, and how typed words become them. */
import { Command, Option } from 'commander'
import { existsSync } from 'node:fs'
import { toolFacts } from '../host/tool.js'
import { PRE_TOKENIZERS } from '../tokenizers/pre-tokenizer-names.js'
import { ALL_FILE_TYPES } from '../quantize/file-types.js'

const MOST_THREADS = 1024

/** What commander gives for the options below. */
export interface CommonFlags {
  readonly dryRun?: boolean
  readonly json?: boolean
  readonly force?: boolean
  readonly threads?: string
  readonly maxMemory?: string
  readonly quiet?: boolean
  readonly verbose?: boolean
  readonly receipt?: string | false
  readonly hash?: boolean
  readonly tokenizer?: string
  readonly clampOverflow?: boolean
  readonly likePeft?: boolean
  readonly alpha?: string
  readonly enableLora?: string
  readonly fanInFanOut?: boolean
  readonly state?: string
  readonly expertMajorB?: boolean
  readonly dequantizeBase?: boolean
  readonly combine?: string
  readonly density?: string
  readonly majoritySign?: string
  readonly svdRank?: string
  readonly baseIsResidual?: boolean
  readonly debug?: boolean
}

export interface GgufFlags extends CommonFlags {
  readonly outtype?: string
  readonly outfile?: string
  readonly modelName?: string
  readonly metadata?: string
  readonly vocabOnly?: boolean
  readonly vocab: boolean
  readonly nextn: boolean
  readonly pre?: string
  readonly modelfile: boolean
  readonly imatrix?: string
  readonly includeWeights?: readonly string[]
  readonly excludeWeights?: readonly string[]
  readonly pure?: boolean
  readonly tensorType?: readonly string[]
  readonly tensorTypeFile?: string
  readonly outputTensorType?: string
  readonly tokenEmbeddingType?: string
  readonly leaveOutputTensor?: boolean
  readonly allowRequantize?: boolean
  readonly overrideKv?: readonly string[]
  readonly pruneLayers?: string
  readonly splitMaxSize?: string
  readonly splitMaxTensors?: string
  readonly tensorFirstSplit: boolean
  readonly keepSplit?: boolean
}

/** Accepts `--snake_case` for every `--kebab-case` option. */
export function kebabCase(args: readonly string[]): string[] {
  const end = args.indexOf('--')
  return args.map((arg, i) => {
    const [, name = '', rest = ''] = /^(--[a-z][a-z_-]*)(.*)$/s.exec(arg) ?? []
    return name === '' || (end >= 0 && i > end) ? arg : name.replaceAll('_', '-') + rest
  })
}

/** A command that throws instead of exiting and leaves printing of errors to exit.ts. */
export function newCommand(name: string): Command {
  return new Command(name)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .version(versionText(), '--version', 'print the version (with --verbose: those of the reference tools too)')
    .helpOption('-h, --help', 'show this help')
    .allowExcessArguments(false)
}

/** Version line; with --verbose also the pinned revisions of the reference tools. */
export function versionText(verbose = process.argv.includes('--verbose')): string {
  const { name, version, reference } = toolFacts()
  return verbose ? [`${name} ${version}`, ...Object.entries(reference).map(([tool, revision]) => `  follows ${tool} ${revision}`)].join('\n') : version
}

export function addCommonOptions(command: Command): Command {
  return command
    .option('--tokenizer <base|adapter|DIR>', 'whose tokenizer to use (default: the adapter’s where it differs)')
    .option('--like-peft', 'PEFT’s own result where that differs from the trained model (tied embeddings)')
    .option('--alpha <N>', 'lora_alpha, for adapters whose files do not hold it (loralib)')
    .option('--enable-lora <Q,V>', 'which slices of fused matrices loralib trained: of q,k,v, or true,false,true')
    .option('--fan-in-fan-out', 'square matrices are stored (in x out), where a loralib adapter does not say it')
    .option('--no-fan-in-fan-out', 'square matrices are stored (out x in), where a loralib adapter does not say it')
    .option('--state <train|eval>', 'of a loralib file of weights and factors: eval, the weights hold the update already; needed where BASE is that file too')
    .option('--combine <HOW>', 'several adapters: sum (what each does, added), or as PEFT: linear, svd, ties, magnitude_prune')
    .option('--density <D>', 'with ties and magnitude_prune: share of each factor to keep, such as 0.5')
    .option('--majority-sign <total|frequency>', 'with ties: which sign wins, by sum or by number (default: total)')
    .option('--svd-rank <N>', 'with svd: singular components to keep (default: the largest rank of the adapters)')
    .option('--expert-major-b', 'lora_B of fused experts is packed expert by expert: Unsloth before September 2026, when the adapter does not say')
    .option('--dequantize-base', 'read a base that is stored quantized (4 bits, 8 bits) as plain numbers, and merge into those')
    .option('--base-is-residual', 'the base is the one that PiSSA, OLoRA, CorDA, LoRA-GA or LoftQ left, not the original')
    .option('--clamp-overflow', 'clamp values that the output type cannot hold, instead of refusing')
    .option('--dry-run', 'print the plan and write nothing')
    .option('--json', 'write events and results as JSON lines to stdout, and nothing else there')
    .option('--force', 'replace an output that is there already (never an input)')
    .option('-t, --threads <N>', 'worker threads (default: one per core); never changes a byte')
    .option('--max-memory <SIZE>', 'use fewer threads where more would take more memory, such as 200M')
    .option('--quiet', 'no progress, no summary')
    .option('--verbose', 'list every tensor')
    .option('--receipt <FILE>', 'where to write the receipt (default: beside the output)')
    .option('--no-receipt', 'write no receipt')
    .option('--hash', 'read the finished files again and note their sha256')
    .addOption(new Option('--debug', 'show the stack of an error').hideHelp())
}

export function addGgufOptions(command: Command): Command {
  return command
    .option('--outtype <TYPE>', `auto, ${Object.keys(ALL_FILE_TYPES).join(', ')} or copy (default: auto, as a folder is stored; a GGUF keeps its types)`)
    .option('--model-name <S>', 'general.name of the GGUF')
    .option('--metadata <F.json>', 'metadata that overrides what is derived')
    .option('--vocab-only', 'metadata and tokenizer only, no weights')
    .option('--no-nextn', 'leave out layers that predict further tokens (NextN, MTP)')
    .option('--no-vocab', 'no tokenizer: for checks, the file cannot chat')
    .option('--pre <NAME>', `BPE pre-tokenizer, when it is not recognised: ${PRE_TOKENIZERS.slice(0, 6).join(', ')} …`)
    .option('--no-modelfile', 'write no Modelfile for Ollama')
    .option('--imatrix <FILE>', 'importance matrix (GGUF or .dat) that weighs errors')
    .option('--include-weights <S>', 'use only entries of the imatrix whose name holds S; may be given several times', several)
    .option('--exclude-weights <S>', 'use no entries of the imatrix whose name holds S; may be given several times', several)
    .option('--pure', 'one type for all tensors, no mixture')
    .option('--tensor-type <RE=T>', 'type of the tensors whose name matches; may be given several times, the first match counts', several)
    .option('--tensor-type-file <FILE>', 'such rules, separated by white space')
    .option('--output-tensor-type <T>', 'type of output.weight')
    .option('--token-embedding-type <T>', 'type of token_embd.weight')
    .option('--leave-output-tensor', 'leave output.weight as it is')
    .option('--allow-requantize', 'quantize tensors that are quantized already (loses quality)')
    .option('--override-kv <K=T:V>', 'set metadata: T is int, float, bool or str; may be given several times', several)
    .option('--prune-layers <L,L>', 'leave layers out')
    .option('--split-max-size <N>', 'begin a new file before it gets larger: 500M, 5G')
    .option('--split-max-tensors <N>', 'begin a new file after N tensors')
    .option('--no-tensor-first-split', 'put no tensors into the first file of a split')
    .option('--keep-split', 'write a split GGUF in as many files as it has')
}

/** Collects an option that may be given several times. */
export const several = (one: string, before: string[] | undefined): string[] => [...(before ?? []), one]

export const exists = (path: string): boolean => existsSync(path)
export { MOST_THREADS }
