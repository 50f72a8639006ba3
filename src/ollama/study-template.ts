/**
 * What a chat template does with the probe conversations, and what its source says it can do. Plain data for chat-format and stops.
 */
import { ANSWERED, PROBES } from './chat-probes.js'
import type { ProbeName } from './chat-probes.js'
import { openChatTemplate } from './render-template.js'
import type { Rendering, SpecialTokens } from './render-template.js'

export interface TemplateStudy {
  readonly tokens: SpecialTokens
  /** Each probe, open for the next answer. */
  readonly probes: Readonly<Record<ProbeName, Rendering>>
  /** One question with its answer, nothing opened after it. */
  readonly answered: Rendering
  /** One question, no answer opened. */
  readonly unopened: Rendering
  /** It speaks of tools: calls, results or definitions. */
  readonly supportsTools: boolean
  /** It speaks of thinking or reasoning, whether to ask for it or to cut it out. */
  readonly thinking: boolean
}

// Names in the source, not differences in a rendering: a variable cannot be read without naming it, and a mention too many only costs a TEMPLATE
const TOOLS = /tools?\b|\btool_|\bfunctions\b/i
const THINKING = /think|reasoning/i

/** @returns the study, or the reason why the template cannot be parsed, or rendered even for one question */
export async function studyChatTemplate(source: string, tokens: SpecialTokens): Promise<TemplateStudy | { readonly failed: string }> {
  const template = await openChatTemplate(source, tokens)
  if ('failed' in template) return template
  const open = { openAnswer: true }
  const closed = { openAnswer: false }
  const first = template.render(PROBES.oneTurn, open)
  if (first.kind === 'failed') return { failed: first.message } // once is enough: it may have used up its time
  return {
    tokens,
    probes: {
      oneTurn: first,
      systemOneTurn: template.render(PROBES.systemOneTurn, open),
      twoTurns: template.render(PROBES.twoTurns, open),
      systemTwoTurns: template.render(PROBES.systemTwoTurns, open),
    },
    answered: template.render(ANSWERED, closed),
    unopened: template.render(PROBES.oneTurn, closed),
    supportsTools: TOOLS.test(source),
    thinking: THINKING.test(source),
  }
}

/** A rendering's text without the BOS text at its start (Ollama adds that token itself); undefined when there is no text. */
export function textWithoutBos(rendering: Rendering, tokens: SpecialTokens): string | undefined {
  if (rendering.kind !== 'text') return undefined
  const bos = tokens.bosToken ?? ''
  return bos !== '' && rendering.text.startsWith(bos) ? rendering.text.slice(bos.length) : rendering.text
}
