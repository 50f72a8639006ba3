/**
 * THE table of chat formats: how a system, user and assistant turn is written. Plain data, and two functions that read it:
 * the text of a conversation in a format, and the format as an Ollama TEMPLATE.
 *
 * Sources: the models' own chat templates (Llama 2, Llama 3, Mistral 0.1 to Tekken, Gemma 1 to 3, Phi-3 to 3.5, ChatML as Qwen 1.5 and 2 write it) and
 * llama.cpp src/llama-chat.cpp `llm_chat_apply_template`.
 */
import type { ChatMessage } from './render-template.js'

export type ChatFormatName = 'chatml' | 'llama3' | 'llama2' | 'mistral' | 'gemma' | 'phi3'

/** One way of writing a conversation. Beginning-of-sequence text at the very start is never part of it: Ollama adds that token itself. */
export interface ChatFormat {
  readonly name: ChatFormatName
  /** What tells this row from the others of its name; empty for the only or the usual one. */
  readonly variant: string
  /** The system message is a turn of its own, or stands before the first user's text inside that turn. */
  readonly systemPlace: 'turn' | 'firstUserTurn'
  /** What stands before and after the text, by role. */
  readonly system: readonly [before: string, after: string]
  readonly user: readonly [before: string, after: string]
  readonly assistant: readonly [before: string, after: string]
  /** The text that ends an answer. */
  readonly stops: readonly string[]
}

const SYS_BLOCK = ['<<SYS>>\n', '\n<</SYS>>\n\n'] as const
const PARAGRAPH = ['', '\n\n'] as const

export const CHAT_FORMATS: readonly ChatFormat[] = [
  {
    name: 'chatml',
    variant: '',
    systemPlace: 'turn',
    system: ['<|im_start|>system\n', '<|im_end|>\n'],
    user: ['<|im_start|>user\n', '<|im_end|>\n'],
    assistant: ['<|im_start|>assistant\n', '<|im_end|>\n'],
    stops: ['<|im_end|>'],
  },
  {
    name: 'llama3',
    variant: '',
    systemPlace: 'turn',
    system: ['<|start_header_id|>system<|end_header_id|>\n\n', '<|eot_id|>'],
    user: ['<|start_header_id|>user<|end_header_id|>\n\n', '<|eot_id|>'],
    assistant: ['<|start_header_id|>assistant<|end_header_id|>\n\n', '<|eot_id|>'],
    stops: ['<|eot_id|>'],
  },
  {
    name: 'phi3',
    variant: '',
    systemPlace: 'turn',
    system: ['<|system|>\n', '<|end|>\n'],
    user: ['<|user|>\n', '<|end|>\n'],
    assistant: ['<|assistant|>\n', '<|end|>\n'],
    stops: ['<|end|>'],
  },
  {
    name: 'gemma',
    variant: '',
    systemPlace: 'firstUserTurn',
    system: PARAGRAPH,
    user: ['<start_of_turn>user\n', '<end_of_turn>\n'],
    assistant: ['<start_of_turn>model\n', '<end_of_turn>\n'],
    stops: ['<end_of_turn>'],
  },
  // Mistral first: where a template takes no system message, the two names share texts
  ...instFormats('mistral', PARAGRAPH, [
    ['0.1', '[INST] ', ' [/INST]', '', '</s>'],
    ['0.1, space after answers', '[INST] ', ' [/INST]', '', '</s> '],
    ['0.2', '[INST] ', ' [/INST]', ' ', '</s>'],
    ['0.2, space before turns', ' [INST] ', ' [/INST]', ' ', '</s>'],
    ['0.3', '[INST] ', '[/INST]', ' ', '</s>'],
    ['tekken', '[INST]', '[/INST]', '', '</s>'],
  ]),
  ...instFormats('llama2', SYS_BLOCK, [
    // Meta's own starts every exchange with <s>; the first one is Ollama's to add
    ['', '[INST] ', ' [/INST]', ' ', ' </s><s>'],
    ['no space around answers', '[INST] ', ' [/INST]', '', '</s><s>'], // LLaMA-Factory's llama2
    ['one <s>', '[INST] ', ' [/INST]', ' ', ' </s>'],
    ['one <s>, no space around answers', '[INST] ', ' [/INST]', '', '</s>'],
    ['no space after answers', '[INST] ', ' [/INST]', ' ', '</s><s>'],
  ]),
]

/** The rows of the [INST] family differ only in their spaces and in where the sequence begins anew. */
function instFormats(
  name: ChatFormatName,
  system: readonly [string, string],
  rows: readonly (readonly [variant: string, userBefore: string, userAfter: string, answerBefore: string, answerAfter: string])[],
): readonly ChatFormat[] {
  return rows.map(([variant, userBefore, userAfter, answerBefore, answerAfter]) => ({
    name,
    variant,
    systemPlace: 'firstUserTurn',
    system,
    user: [userBefore, userAfter],
    // the space before an answer is written by the answer's turn, not by the open prompt: models produce it themselves
    assistant: [answerBefore, answerAfter],
    stops: ['</s>'],
  }))
}

/** The prompt for the next answer: all turns, then the opening of the assistant's. No leading BOS text. */
export function writeConversation(format: ChatFormat, messages: readonly ChatMessage[]): string {
  let text = ''
  let pendingSystem = ''
  for (const { role, content } of messages) {
    if (role === 'system' && format.systemPlace === 'firstUserTurn') pendingSystem = wrap(format.system, content)
    else if (role === 'user') {
      text += wrap(format.user, pendingSystem + content)
      pendingSystem = ''
    } else text += wrap(format[role], content)
  }
  return text + openingOf(format)
}

function wrap([before, after]: readonly [string, string], content: string): string {
  return before + content + after
}

/** What the prompt ends with. The [INST] formats open no turn: the blank that stands before a past answer is the model's own to write. */
function openingOf(format: ChatFormat): string {
  return format.assistant[0].trim() === '' ? '' : format.assistant[0]
}

/**
 * The format in Ollama's template language, equal to writeConversation for any alternating conversation.
 *
 * The first branch is for servers that hand over `.Messages` (0.2.2 and newer); the last answer stays open, so that it can be continued. Older servers run the
 * template once per exchange with `.System`, `.Prompt` and `.Response`; they look for `.Response` at the top level only and cut what follows it.
 */
export function goTemplateOf(format: ChatFormat): string {
  const inTurn = format.systemPlace === 'firstUserTurn'
  const system = (value: string): string => format.system[0] + value + format.system[1]
  const opening = openingOf(format)
  const [answerBefore, answerAfter] = format.assistant
  const [userBefore, userAfter] = format.user

  const systemTurn = inTurn ? '' : `{{ if eq $message.Role "system" }}${system('{{ $message.Content }}')}{{ end }}`
  const systemInUserTurn = inTurn ? `{{ if $system }}${system('{{ $system }}')}{{ $system = "" }}{{ end }}` : ''
  const messages =
    (inTurn ? '{{ $system := .System }}' : '') +
    '{{ range $index, $message := .Messages }}{{ $last := eq (len (slice $.Messages $index)) 1 }}' +
    systemTurn +
    `{{ if eq $message.Role "user" }}${userBefore}${systemInUserTurn}{{ $message.Content }}${userAfter}{{ end }}` +
    `{{ if eq $message.Role "assistant" }}${answerBefore}{{ $message.Content }}{{ if not $last }}${answerAfter}{{ end }}{{ end }}` +
    (opening === '' ? '' : `{{ if and $last (ne $message.Role "assistant") }}${opening}{{ end }}`) +
    '{{ end }}'

  const systemOfExchange = `{{ if .System }}${system('{{ .System }}')}{{ end }}`
  const exchange =
    (inTurn ? '' : systemOfExchange) +
    `{{ if .Prompt }}${userBefore}${inTurn ? systemOfExchange : ''}{{ .Prompt }}${userAfter}{{ end }}` +
    (opening === '' && answerBefore !== '' ? `{{ if .Response }}${answerBefore}{{ end }}` : opening)

  return `{{ if .Messages }}${messages}{{ else }}${exchange}{{ end }}{{ .Response }}{{ if .Response }}${answerAfter}{{ end }}`
}
