/**
 * Says which known chat format a template writes, if any: its renderings of four probe conversations must be exactly that format's text.
 *
 *   template ──► study (renderings) ──► the row of CHAT_FORMATS that gives the same text ──► Ollama TEMPLATE, default system text, stops
 *
 * A format found in a template that also knows tools or thinking gets no TEMPLATE: a Go template would switch those off in Ollama
 * (server/images.go `shouldPreferChatTemplate`).
 */
import { quoted } from '../core/errors.js'
import { CHAT_FORMATS, goTemplateOf, writeConversation } from './chat-formats.js'
import type { ChatFormat, ChatFormatName } from './chat-formats.js'
import { PROBES } from './chat-probes.js'
import type { ProbeName } from './chat-probes.js'
import type { ChatMessage, Rendering, SpecialTokens } from './render-template.js'
import { stopsOf } from './stops.js'
import { studyChatTemplate, textWithoutBos } from './study-template.js'
import type { TemplateStudy } from './study-template.js'

export interface ChatFormatReport {
  /** Undefined when the text is no known format's, or the template knows tools or thinking. */
  readonly format: ChatFormatName | undefined
  /** What tells the format's row from its siblings; empty for the usual one. */
  readonly variant: string
  /** The format as Ollama's TEMPLATE; set exactly when `format` is. Holds no leading BOS text. */
  readonly ollamaTemplate?: string
  /** The system message that the template puts where a conversation has none: the Modelfile's SYSTEM. */
  readonly defaultSystem?: string
  readonly stops: readonly string[]
  readonly supportsTools: boolean
  readonly thinking: boolean
  /** Sentences for the user: why there is no TEMPLATE, or in what it differs from the template. */
  readonly notes: readonly string[]
  /** The richest probe that the template rendered, as it came out, or undefined when it rendered none. */
  readonly rendered: string | undefined
}

interface Match {
  readonly format: ChatFormat
  readonly defaultSystem?: string
}

/** Tries a chat template. Never throws for what the template holds. @param eosTokens  texts of all eos ids, for the stops */
export async function recogniseChatFormat(template: string, tokens: SpecialTokens, eosTokens: readonly string[] = []): Promise<ChatFormatReport> {
  const study = await studyChatTemplate(template, tokens)
  if ('failed' in study) return unknownFormat(undefined, eosTokens, `The chat template cannot be rendered: ${quoted(study.failed)}.`)
  const { probes } = study
  for (const probe of [probes.oneTurn, probes.twoTurns]) {
    if (probe.kind !== 'text') return unknownFormat(study, eosTokens, `The chat template refuses a plain conversation: ${quoted(probe.message)}.`)
  }
  const barred = reasonForNoTemplate(study)
  if (barred !== undefined) return unknownFormat(study, eosTokens, barred)

  const system = systemUse(study)
  const match = CHAT_FORMATS.map((format) => matchFormat(format, study, system)).find((found) => found !== undefined)
  if (match === undefined) return unknownFormat(study, eosTokens, 'The chat template writes none of the formats that have a TEMPLATE here.')
  return {
    ...baseReport(study, eosTokens),
    format: match.format.name,
    variant: match.format.variant,
    ollamaTemplate: goTemplateOf(match.format),
    ...(match.defaultSystem === undefined ? {} : { defaultSystem: match.defaultSystem }),
    notes: SYSTEM_NOTES[system] === '' ? [] : [SYSTEM_NOTES[system]],
  }
}

function baseReport(study: TemplateStudy | undefined, eosTokens: readonly string[]): Omit<ChatFormatReport, 'notes'> {
  return {
    format: undefined,
    variant: '',
    stops: stopsOf(study, eosTokens),
    supportsTools: study?.supportsTools ?? false,
    thinking: study?.thinking ?? false,
    rendered: study === undefined ? undefined : richestRendering(study),
  }
}

function unknownFormat(study: TemplateStudy | undefined, eosTokens: readonly string[], why: string): ChatFormatReport {
  return { ...baseReport(study, eosTokens), notes: [why] }
}

function reasonForNoTemplate(study: TemplateStudy): string | undefined {
  if (study.supportsTools) return 'The chat template knows tools, which a TEMPLATE written here would switch off.'
  if (study.thinking) return 'The chat template knows thinking, which a TEMPLATE written here would switch off.'
  const asksForDate = Object.values(study.probes).some((probe) => probe.kind === 'text' && probe.asksForDate)
  return asksForDate ? "The chat template writes the day's date, which a TEMPLATE cannot." : undefined
}

type SystemUse = 'written' | 'refused' | 'ignored' | 'uneven'

const SYSTEM_NOTES: Readonly<Record<SystemUse, string>> = {
  written: '',
  refused: 'The chat template refuses system messages; TEMPLATE puts one where the format usually has it.',
  ignored: 'The chat template drops system messages; TEMPLATE puts one where the format usually has it.',
  uneven: '',
}

function systemUse({ probes }: TemplateStudy): SystemUse {
  const pairs = [[probes.systemOneTurn, probes.oneTurn] as const, [probes.systemTwoTurns, probes.twoTurns] as const]
  if (pairs.every(([withSystem]) => withSystem.kind === 'raised')) return 'refused'
  if (pairs.some(([withSystem]) => withSystem.kind !== 'text')) return 'uneven'
  return pairs.every(([withSystem, without]) => sameText(withSystem, without)) ? 'ignored' : 'written'
}

function sameText(a: Rendering, b: Rendering): boolean {
  return a.kind === 'text' && b.kind === 'text' && a.text === b.text
}

function matchFormat(format: ChatFormat, study: TemplateStudy, system: SystemUse): Match | undefined {
  if (system === 'uneven') return undefined
  if (system === 'written' && !(writes(format, study, 'systemOneTurn') && writes(format, study, 'systemTwoTurns'))) return undefined
  if (writes(format, study, 'oneTurn') && writes(format, study, 'twoTurns')) return { format }
  if (system !== 'written') return undefined
  const defaultSystem = defaultSystemOf(format, study)
  return defaultSystem === undefined ? undefined : { format, defaultSystem }
}

function writes(format: ChatFormat, study: TemplateStudy, name: ProbeName, conversation: readonly ChatMessage[] = PROBES[name]): boolean {
  return textWithoutBos(study.probes[name], study.tokens) === writeConversation(format, conversation)
}

/** The text T for which both probes without a system message come out as if T were their system message. */
function defaultSystemOf(format: ChatFormat, study: TemplateStudy): string | undefined {
  const hole = '\0' // no template text holds it: where the system message would stand
  const [before = '', after = ''] = writeConversation(format, [{ role: 'system', content: hole }, ...PROBES.oneTurn]).split(hole)
  const text = textWithoutBos(study.probes.oneTurn, study.tokens) ?? ''
  if (text.length <= before.length + after.length || !text.startsWith(before) || !text.endsWith(after)) return undefined
  const content = text.slice(before.length, text.length - after.length)
  return writes(format, study, 'twoTurns', [{ role: 'system', content }, ...PROBES.twoTurns]) ? content : undefined
}

function richestRendering({ probes }: TemplateStudy): string | undefined {
  for (const probe of [probes.systemTwoTurns, probes.twoTurns, probes.systemOneTurn, probes.oneTurn]) if (probe.kind === 'text') return probe.text
  return undefined
}
