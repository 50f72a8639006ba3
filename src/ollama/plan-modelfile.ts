/**
 * The Modelfile for a GGUF that was just planned.
 *
 *   chat template, eos texts, generation_config ──► FROM, stops, sampling, TEMPLATE and SYSTEM where they say what the template says, comments
 *
 * Facts about Ollama: docs/ollama.md.
 */
import { quoted } from '../core/errors.js'
import type { JsonObject } from '../core/json.js'
import type { ChatFormatReport } from './chat-format.js'
import { recogniseChatFormat } from './chat-format.js'
import { renderModelfile, whyNotQuotable } from './modelfile.js'
import type { ModelfileValue } from './modelfile.js'
import { samplingFrom } from './sampling.js'
import { stopsOf } from './stops.js'

export interface ModelfileRequest {
  /** The GGUF's file name, in the Modelfile's own folder. */
  readonly ggufName: string
  /** Of a split GGUF the names of the other parts. */
  readonly otherParts?: readonly string[] | undefined
  readonly chatTemplate?: string | undefined
  /** Texts of all eos ids (generation_config, config, tokenizer). */
  readonly eosTokens: readonly string[]
  /** bos_token and eos_token of the tokenizer config; eosToken defaults to the first of eosTokens. */
  readonly bosToken?: string | undefined
  readonly eosToken?: string | undefined
  readonly generationConfig?: JsonObject | undefined
  /** More comment lines for the file's head. */
  readonly extraNotes?: readonly string[] | undefined
}

export interface PlannedModelfile {
  readonly text: string
  /** The sentences that also stand in it as comments: for the log. */
  readonly notes: readonly string[]
}

/**
 * Plans the Modelfile.
 * @throws UnsupportedError when the GGUF's name cannot stand in a Modelfile; everything else that cannot is left out and noted
 */
export async function modelfileFor(request: ModelfileRequest): Promise<PlannedModelfile> {
  const eosToken = request.eosToken ?? request.eosTokens[0]
  const hasTemplate = request.chatTemplate !== undefined && request.chatTemplate.trim() !== ''
  const report = hasTemplate ? await recogniseChatFormat(request.chatTemplate, { bosToken: request.bosToken, eosToken }, request.eosTokens) : undefined
  const system = report?.defaultSystem
  const systemFault = system === undefined ? undefined : whyNotQuotable(system, true)
  const sampling = samplingFrom(request.generationConfig)
  const stops = writableStops(report?.stops ?? stopsOf(undefined, request.eosTokens))

  const chat =
    systemFault === undefined
      ? chatNotes(report)
      : [`No TEMPLATE: the template's own system message cannot stand in a Modelfile (${systemFault}).`, ...WITHOUT_TEMPLATE]
  const notes = [...(request.extraNotes ?? []), ...chat, ...stops.notes, ...sampling.notes]
  const parameters = new Map<string, ModelfileValue | readonly ModelfileValue[]>(sampling.parameters)
  if (stops.stops.length > 0) parameters.set('stop', stops.stops)
  else notes.push('No stop: the model names no end-of-sequence token.')
  const text = renderModelfile({
    from: request.ggufName,
    otherParts: request.otherParts,
    parameters,
    template: systemFault === undefined ? report?.ollamaTemplate : undefined,
    system: systemFault === undefined ? system : undefined,
    comments: notes,
  })
  return { text, notes }
}

const WITHOUT_TEMPLATE: readonly string[] = [
  'Ollama 0.30 and newer use the chat template inside the GGUF.',
  'Older servers do not: unless they know this template by heart, they send the bare prompt, and answers may ramble. Update Ollama, or add a TEMPLATE.',
]

function chatNotes(report: ChatFormatReport | undefined): readonly string[] {
  if (report === undefined) {
    return ['The model has no chat template (a base model?): Ollama sends the bare prompt, and an answer may run on. Add a TEMPLATE if it was trained on one.']
  }
  if (report.format === undefined) return ['No TEMPLATE.', ...report.notes, ...WITHOUT_TEMPLATE]
  const name = report.variant === '' ? report.format : `${report.format}, ${report.variant}`
  const system = report.defaultSystem === undefined ? [] : ["SYSTEM is what the model's chat template puts where a conversation has no system message."]
  return [`TEMPLATE (${name}) writes the same text as the model's chat template; Ollama before 0.30 needs it.`, ...report.notes, ...system]
}

function writableStops(stops: readonly string[]): { readonly stops: readonly string[]; readonly notes: readonly string[] } {
  const faults = stops.flatMap((stop) => {
    const why = whyNotQuotable(stop, false)
    return why === undefined ? [] : [`The stop ${quoted(stop)} is left out: ${why}.`]
  })
  return { stops: stops.filter((stop) => whyNotQuotable(stop, false) === undefined), notes: faults }
}
