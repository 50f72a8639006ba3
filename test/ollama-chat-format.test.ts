import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { recogniseChatFormat } from '../src/ollama/chat-format.js'
import { CHAT_FORMATS, goTemplateOf, writeConversation } from '../src/ollama/chat-formats.js'
import { PROBES } from '../src/ollama/chat-probes.js'
import { openChatTemplate } from '../src/ollama/render-template.js'
import type { ChatMessage } from '../src/ollama/render-template.js'
import { renderLikeOllama } from './support/go-template.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const LOOP = (turn: string, opening: string): string =>
  `{% for message in messages %}${turn}{% endfor %}{% if add_generation_prompt %}{{ '${opening}' }}{% endif %}`
const ALTERNATE = `{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}`
const CHATML = LOOP(String.raw`{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}`, String.raw`<|im_start|>assistant\n`)
const QWEN2 = CHATML.replace(
  '{% for message in messages %}',
  String.raw`{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}`,
)
const LLAMA3 = String.raw`{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}`
const LLAMA2 = String.raw`{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}${ALTERNATE}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}`
const MISTRAL = (user: string, answer: string): string =>
  `{{ bos_token }}{% for message in messages %}${ALTERNATE}{% if message['role'] == 'user' %}{{ ${user} }}{% elif message['role'] == 'assistant' %}{{ ${answer} }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}`
const MISTRAL_SYSTEM = String.raw`{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.first and system_message is defined %}
            {{- " [INST] " + system_message + "\n\n" + message["content"] + " [/INST]" }}
        {%- else %}
            {{- " [INST] " + message["content"] + " [/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] + eos_token}}
    {%- endif %}
{%- endfor %}`
const GEMMA2 = `{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}${ALTERNATE}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}`
const GEMMA3 = String.raw`{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {{- message['content'] | trim -}}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}`
const PHI3_ROLES = ['system', 'user', 'assistant'].map(
  (role) => String.raw`if message['role'] == '${role}' %}{{'<|${role}|>\n' + message['content'] + '<|end|>\n'}}`,
)
const PHI3 = String.raw`{% for message in messages %}{% ${PHI3_ROLES.join('{% el')}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}`
const OLD_PHI3 = String.raw`{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + message['content'] + '<|end|>' + '\n' + '<|assistant|>' + '\n'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\n'}}{% endif %}{% endfor %}`

const S = { bosToken: '<s>', eosToken: '</s>' }

interface Known {
  readonly what: string
  readonly template: string
  readonly tokens?: { readonly bosToken?: string; readonly eosToken?: string }
  readonly format: string
  readonly variant?: string
  readonly stops: readonly string[]
  readonly defaultSystem?: string
  readonly note?: RegExp
}

const KNOWN: readonly Known[] = [
  { what: 'ChatML', template: CHATML, format: 'chatml', stops: ['<|im_end|>'] },
  { what: 'ChatML after BOS text', template: `{{ bos_token }}${CHATML}`, tokens: S, format: 'chatml', stops: ['<|im_end|>'] },
  {
    what: 'ChatML with a default system message (Qwen 2)',
    template: QWEN2,
    format: 'chatml',
    stops: ['<|im_end|>'],
    defaultSystem: 'You are a helpful assistant.',
  },
  {
    what: 'Llama 3',
    template: `${LLAMA3}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}`,
    tokens: { bosToken: '<|begin_of_text|>', eosToken: '<|eot_id|>' },
    format: 'llama3',
    stops: ['<|eot_id|>'],
  },
  {
    what: 'Llama 3 as first published, which opens an answer always',
    template: `${LLAMA3}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}`,
    tokens: { bosToken: '<|begin_of_text|>', eosToken: '<|end_of_text|>' },
    format: 'llama3',
    stops: ['<|eot_id|>'],
  },
  { what: 'Llama 2', template: LLAMA2, tokens: S, format: 'llama2', variant: '', stops: ['</s>'] },
  {
    what: 'Mistral 0.1',
    template: MISTRAL(`'[INST] ' + message['content'] + ' [/INST]'`, `message['content'] + eos_token`),
    tokens: S,
    format: 'mistral',
    variant: '0.1',
    stops: ['</s>'],
    note: /refuses system messages/,
  },
  {
    what: 'Mistral 0.1 as first published',
    template: MISTRAL(`'[INST] ' + message['content'] + ' [/INST]'`, `message['content'] + eos_token + ' '`),
    tokens: S,
    format: 'mistral',
    variant: '0.1, space after answers',
    stops: ['</s>'],
    note: /refuses system messages/,
  },
  { what: 'Mistral 0.2 with a system message', template: MISTRAL_SYSTEM, tokens: S, format: 'mistral', variant: '0.2, space before turns', stops: ['</s>'] },
  {
    what: 'Mistral 0.3 without tools',
    template: MISTRAL(`'[INST] ' + message['content'] + '[/INST]'`, `' ' + message['content'] + eos_token`),
    tokens: S,
    format: 'mistral',
    variant: '0.3',
    stops: ['</s>'],
    note: /refuses/,
  },
  {
    what: 'Mistral Tekken without tools',
    template: MISTRAL(`'[INST]' + message['content'] + '[/INST]'`, `message['content'] + eos_token`),
    tokens: S,
    format: 'mistral',
    variant: 'tekken',
    stops: ['</s>'],
    note: /refuses/,
  },
  {
    what: 'Gemma 2, which refuses system messages',
    template: GEMMA2,
    tokens: { bosToken: '<bos>', eosToken: '<eos>' },
    format: 'gemma',
    stops: ['<end_of_turn>'],
    note: /refuses system messages/,
  },
  {
    what: 'Gemma 3, which puts the system message into the first turn',
    template: GEMMA3,
    tokens: { bosToken: '<bos>', eosToken: '<eos>' },
    format: 'gemma',
    stops: ['<end_of_turn>'],
  },
  { what: 'Phi-3.5', template: PHI3, tokens: { bosToken: '<s>', eosToken: '<|endoftext|>' }, format: 'phi3', stops: ['<|end|>'] },
  {
    what: 'Phi-3 as first published, which drops system messages',
    template: OLD_PHI3,
    tokens: { bosToken: '<s>', eosToken: '<|endoftext|>' },
    format: 'phi3',
    stops: ['<|end|>'],
    note: /drops system messages/,
  },
]

describe('recogniseChatFormat', () => {
  for (const { what, template, tokens = {}, format, variant, stops, defaultSystem, note } of KNOWN) {
    it(`recognises ${what}`, async () => {
      const report = await recogniseChatFormat(template, tokens)
      assert.equal(report.format, format, report.notes.join(' '))
      if (variant !== undefined) assert.equal(report.variant, variant)
      assert.deepEqual(report.stops, stops)
      assert.equal(report.defaultSystem, defaultSystem)
      assert.equal(report.supportsTools || report.thinking, false)
      if (note === undefined) assert.deepEqual(report.notes, [])
      else assert.match(report.notes.join(' '), note)
    })

    it(`gives ${what} a TEMPLATE that writes the model's own text in new and old servers`, async () => {
      const { ollamaTemplate = '', defaultSystem } = await recogniseChatFormat(template, tokens)
      const opened = await openChatTemplate(template, tokens)
      assert.ok('render' in opened)
      let compared = 0
      for (const probe of Object.values(PROBES)) {
        const jinja = opened.render(probe, { openAnswer: true })
        if (jinja.kind === 'raised' || (note?.source.startsWith('drops') && probe[0].role === 'system')) continue
        assert.ok(jinja.kind === 'text')
        // Ollama puts the Modelfile's SYSTEM before a chat that has none: server/routes.go ChatHandler
        const chat: ChatMessage[] =
          defaultSystem === undefined || probe[0].role === 'system' ? [...probe] : [{ role: 'system', content: defaultSystem }, ...probe]
        const wanted = jinja.text.slice(jinja.text.startsWith(tokens.bosToken ?? '') ? (tokens.bosToken ?? '').length : 0)
        assert.equal(renderLikeOllama(ollamaTemplate, chat, 'messages'), wanted)
        assert.equal(renderLikeOllama(ollamaTemplate, chat, 'exchanges'), wanted)
        compared++
      }
      assert.ok(compared >= 2)
      assert.ok(!ollamaTemplate.startsWith(tokens.bosToken ?? '\0') && !ollamaTemplate.includes('"""'))
    })
  }

  const UNKNOWN: readonly (readonly [what: string, template: string, note: RegExp])[] = [
    ['ChatML with tools (Qwen 2.5)', `{%- if tools %}{{ tools | tojson }}{%- endif %}${CHATML}`, /knows tools/],
    ['ChatML that answers tool results', CHATML.replace('{{', "{% if message.role == 'tool' %}{{ 'x' }}{% endif %}{{"), /knows tools/],
    [
      'ChatML with thinking (Qwen 3)',
      `${CHATML}{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}`,
      /knows thinking/,
    ],
    ['ChatML that cuts out thinking (QwQ)', CHATML.replace("message['content']", "message['content'].split('</think>')[-1]"), /knows thinking/],
    ['ChatML without a line break', CHATML.replace(String.raw` + '\n'}}`, '}}'), /none of the formats/],
    ['ChatML that trims line breaks inside', CHATML.replace("message['content']", String.raw`message['content'] | replace('\n', ' ')`), /none of the formats/],
    ['ChatML that escapes', CHATML.replace("message['content']", `(message['content'] | tojson)`), /none of the formats/],
    [
      'ChatML with a second system message after the first',
      CHATML.replace('{% for', String.raw`{{ '<|im_start|>system\nA<|im_end|>\n' }}{% for`),
      /none of the formats/,
    ],
    [
      'ChatML that writes the date',
      CHATML.replace(
        '{% for',
        String.raw`{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n' + strftime_now('%Y') + '<|im_end|>\n' }}{% endif %}{% for`,
      ),
      /the day's date/,
    ],
    ['a template that puts the system message into the last turn', MISTRAL_SYSTEM.replace('loop.first', 'loop.last'), /none of the formats/],
    [
      'a template that takes a system message for an answer',
      `{% for message in messages %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}`,
      /none of the formats/,
    ],
    [
      'a template that refuses a second turn',
      `{% if messages | length > 2 %}{{ raise_exception('one\nonly') }}{% endif %}${CHATML}`,
      /refuses a plain conversation: "one\\nonly"/,
    ],
    ['a template that refuses everything', "{{ raise_exception('no') }}", /cannot be rendered|refuses/],
    ['an empty template', '', /none of the formats/],
    ['plain text', 'hello', /none of the formats/],
    ['a template that does not close', '{% for message in messages %}', /cannot be rendered/],
    ['a template with a wrong expression', '{{ messages | nosuchfilter }}', /cannot be rendered/],
    ['a template that adds to nothing', '{{ nothing + 1 }}', /cannot be rendered/],
    ['JSON', '{"a": {{', /cannot be rendered/],
  ]
  for (const [what, template, note] of UNKNOWN) {
    it(`gives no TEMPLATE for ${what}, and says why`, async () => {
      const report = await recogniseChatFormat(template, S, ['</s>'])
      assert.equal(report.format, undefined)
      assert.equal(report.ollamaTemplate, undefined)
      assert.match(report.notes.join(' '), note)
      assert.ok(report.stops.includes('</s>'))
    })
  }

  it('recognises the example model as ChatML that stops at <|im_end|>', async () => {
    const template = readFileSync(join(FIXTURES, 'tiny-story', 'chat_template.jinja'), 'utf8')
    const report = await recogniseChatFormat(template, { bosToken: '<|endoftext|>', eosToken: '<|im_end|>' }, ['<|im_end|>'])
    assert.equal(report.format, 'chatml')
    assert.deepEqual(report.stops, ['<|im_end|>'])
  })

  it('recognises the template of a real Llama 3 and none of a real DeepSeek V3', { skip: SKIP_WITHOUT_GOLDEN }, async () => {
    const formats: (string | undefined)[] = []
    for (const path of ['real-llama3', 'real-deepseek_v3']) {
      const file = readdirFile(join(GOLDEN ?? '', 'gguf-large', path), 'tokenizer_config.json')
      const config = JSON.parse(readFileSync(file, 'utf8')) as {
        chat_template: string
        bos_token: string | { content: string }
        eos_token: string | { content: string }
      }
      const text = (token: string | { content: string }): string => (typeof token === 'string' ? token : token.content)
      formats.push((await recogniseChatFormat(config.chat_template, { bosToken: text(config.bos_token), eosToken: text(config.eos_token) })).format)
    }
    assert.deepEqual(formats, ['llama3', undefined])
  })
})

describe('CHAT_FORMATS', () => {
  it('holds no two rows that write the same conversations', () => {
    const texts = CHAT_FORMATS.map((format) => JSON.stringify(Object.values(PROBES).map((probe) => writeConversation(format, probe))))
    assert.equal(new Set(texts).size, CHAT_FORMATS.length)
    const names = CHAT_FORMATS.map(({ name, variant }) => `${name} ${variant}`)
    assert.equal(new Set(names).size, CHAT_FORMATS.length)
  })

  it('becomes TEMPLATEs that write longer conversations as the table does, and keep a last answer open', () => {
    for (const format of CHAT_FORMATS) {
      const chat: ChatMessage[] = [{ role: 'system', content: 's' }]
      for (let turn = 0; turn < 4; turn++) {
        chat.push({ role: 'user', content: `u${turn}` })
        for (const server of ['messages', 'exchanges'] as const)
          assert.equal(renderLikeOllama(goTemplateOf(format), chat, server), writeConversation(format, chat))
        chat.push({ role: 'assistant', content: `a${turn}` })
        const prompt = writeConversation(format, chat.slice(0, -1))
        const blank = format.assistant[0].trim() === '' ? format.assistant[0] : ''
        assert.equal(renderLikeOllama(goTemplateOf(format), chat, 'messages'), `${prompt}${blank}a${turn}`)
      }
    }
  })
})

function readdirFile(folder: string, name: string): string {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find((path) => path.endsWith(name))
  assert.ok(found !== undefined, `${name} in ${folder}`)
  return join(folder, found)
}
