/**
 * The four conversations on which a chat template is tried. Plain data.
 *
 * Their texts hold what templates are known to mangle (quotes, angle brackets, line breaks, an umlaut), and no text is part of another.
 */
import type { ChatMessage } from './render-template.js'

const SYSTEM: ChatMessage = { role: 'system', content: 'Answer "briefly" & plainly.' }
const QUESTION: ChatMessage = { role: 'user', content: 'Which of these is a colour?\n\n  blue or <two>' }
const ANSWER: ChatMessage = { role: 'assistant', content: "Blue, it's\na colour." }
const NEXT_QUESTION: ChatMessage = { role: 'user', content: 'Und für Zahlen?' }

/** What is asked of a template: one turn and two, without a system message and with one; every probe ends where the answer begins. */
export const PROBES = {
  oneTurn: [QUESTION],
  systemOneTurn: [SYSTEM, QUESTION],
  twoTurns: [QUESTION, ANSWER, NEXT_QUESTION],
  systemTwoTurns: [SYSTEM, QUESTION, ANSWER, NEXT_QUESTION],
} as const satisfies Record<string, readonly ChatMessage[]>

export type ProbeName = keyof typeof PROBES

/** A conversation that ends with an answer: shows what stands after one. */
export const ANSWERED: readonly ChatMessage[] = [QUESTION, ANSWER]

/** The texts themselves, to find them again in a rendering. */
export const PROBE_TEXTS = { system: SYSTEM.content, question: QUESTION.content, answer: ANSWER.content, nextQuestion: NEXT_QUESTION.content } as const
