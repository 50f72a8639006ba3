/**
 * The texts at which Ollama must end an answer: the end-of-sequence tokens, and the token that the chat template writes after an answer.
 *
 * Never a token that opens an assistant's turn, even when generation_config lists it as an end (Phi-3 lists <|assistant|>): Ollama matches stops in the
 * answer's text, and a structural token there cuts it short (ollama#17939).
 */
import { PROBE_TEXTS } from './chat-probes.js'
import { textWithoutBos } from './study-template.js'
import type { TemplateStudy } from './study-template.js'

/** Stops for a model, without duplicates: the texts of its eos ids first, then the end of an answer. Without a study (no template, or none that can be rendered) only the first. */
export function stopsOf(study: TemplateStudy | undefined, eosTokens: readonly string[]): readonly string[] {
  const ends = eosTokens.filter((token) => token !== '')
  if (study === undefined) return unique(ends)
  const end = answerEnd(study)
  const openers = assistantOpeners(study)
  openers.delete(end ?? '')
  openers.delete(study.tokens.eosToken ?? '')
  return unique([...ends, ...(end === undefined ? [] : [end])].filter((token) => !openers.has(token)))
}

/** The token that the template writes right after an answer; undefined when it writes none, one that opens a turn, or one that also ends parts of a turn. */
function answerEnd(study: TemplateStudy): string | undefined {
  const { answer } = PROBE_TEXTS
  const after = textAfter(textWithoutBos(study.answered, study.tokens), answer)
  const end = firstToken(after) ?? firstToken(textAfter(textWithoutBos(study.probes.twoTurns, study.tokens), answer))
  return end === undefined || turnOpeners(study).has(end) || standsInsideTurns(end, study) ? undefined : end
}

/** Whether an assistant's turn holds the token before its answer too (Kimi K3 closes its thinking with the token that closes the answer). */
function standsInsideTurns(token: string, study: TemplateStudy): boolean {
  const { question, answer } = PROBE_TEXTS
  const upToAnswer = textBefore(textAfter(textWithoutBos(study.probes.twoTurns, study.tokens), question), answer)
  const questionEnd = textAfter(textWithoutBos(study.unopened, study.tokens), question)
  return count(token, upToAnswer) > (questionEnd === undefined ? 1 : count(token, questionEnd))
}

function count(token: string, text: string | undefined): number {
  return (text?.split(token).length ?? 1) - 1
}

function turnOpeners(study: TemplateStudy): Set<string> {
  const { question, system } = PROBE_TEXTS
  const oneTurn = textWithoutBos(study.probes.oneTurn, study.tokens)
  const openers = assistantOpeners(study)
  // a template without turn openers ends answers with the very token that stands before the next text: that one stays an end
  if (!openers.has(study.tokens.eosToken ?? '')) addToken(openers, lastToken(textBefore(oneTurn, question)))
  addToken(openers, firstToken(textBefore(oneTurn, question)))
  addToken(openers, firstToken(textBefore(textWithoutBos(study.probes.systemOneTurn, study.tokens), system)))
  openers.delete(study.tokens.eosToken ?? '')
  return openers
}

function assistantOpeners(study: TemplateStudy): Set<string> {
  const { question, answer } = PROBE_TEXTS
  const openers = new Set<string>()
  const opened = textWithoutBos(study.probes.oneTurn, study.tokens)
  const unopened = textWithoutBos(study.unopened, study.tokens)
  if (opened !== undefined && unopened !== undefined && opened.startsWith(unopened))
    for (const token of allTokens(opened.slice(unopened.length))) openers.add(token)
  const past = textBefore(textWithoutBos(study.probes.twoTurns, study.tokens), answer)
  addToken(openers, lastToken(textAfter(past, question)))
  return openers
}

// what special tokens look like: <|im_end|>, </s>, <end_of_turn>, <｜end▁of▁sentence｜>, [/INST]
const TOKEN = /<[^<>\s]{1,80}>|\[\/?[A-Z_]{2,40}\]/g

function allTokens(text: string | undefined): readonly string[] {
  return text?.match(TOKEN) ?? []
}

/** The token at the very start, blanks aside: text before it would mean that it does not end the answer. */
function firstToken(text: string | undefined): string | undefined {
  const start = text?.trimStart()
  const token = allTokens(start)[0]
  return token !== undefined && start?.startsWith(token) ? token : undefined
}

function lastToken(text: string | undefined): string | undefined {
  return allTokens(text).at(-1)
}

function addToken(tokens: Set<string>, token: string | undefined): void {
  if (token !== undefined) tokens.add(token)
}

function textBefore(text: string | undefined, part: string): string | undefined {
  const at = text?.indexOf(part) ?? -1
  return at < 0 ? undefined : text?.slice(0, at)
}

function textAfter(text: string | undefined, part: string): string | undefined {
  const at = text?.indexOf(part) ?? -1
  return at < 0 ? undefined : text?.slice(at + part.length)
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)]
}
