#!/usr/bin/env node
'use strict';
/*
 * SPDX-License-Identifier: ISC
 *
 * mock-upstream.js: deterministic fake LLM provider, no dependencies, Node >= 18.
 * Binds 127.0.0.1 only.  Serves, streaming and not:
 *   OpenAI chat        POST [/v1]/chat/completions
 *   OpenAI responses   POST [/v1]/responses
 *   Anthropic messages POST [/v1]/messages, POST [/v1]/messages/count_tokens
 *   Gemini             POST /v1beta/models/<m>:generateContent | :streamGenerateContent | :countTokens
 *   plus GET [/v1]/models, GET [/v1]/models/<id>, POST [/v1]/embeddings, HEAD/GET /, GET /healthz
 *
 * Flags
 *   --port N          listen port (default 4010; 0 = any, printed on stdout as "listening <port>")
 *   --api A           chat|responses|anthropic|gemini|all (default all): only that API answers, the
 *                     others get 404, so you can see whether a client falls back
 *   --latency-ms N    wait before the first byte of an answer (default 0)
 *   --token-ms N      wait between streamed tokens (default 0)
 *   --tokens N        number of tokens (words) in the final text (default 8)
 *   --tool-first      when the request offers a shell-like tool and the newest message is from the user,
 *                     answer with one call of it; when a tool result came back, answer with text
 *   --tool-rounds N   how many tool rounds per user message (default 1)
 *   --tool-cmd S      the shell command to ask for (default "echo hi")
 *   --tool-name S     force this tool name
 *   --reasoning       emit reasoning/thinking before the answer, in each API's own form
 *   --text S          fixed final text instead of the numbered words
 *   --key S           require this key (Authorization: Bearer S | x-api-key | x-goog-api-key), else 401
 *   --fail-status N   answer every model call with this status ; --fail-first K only the first K calls
 *   a base URL of http://127.0.0.1:PORT/fail-NNN/v1 answers every model call with status NNN
 *   --retry-after S   send Retry-After: S with 429 and 503
 *   --model-ids a,b   ids shown by /v1/models (default "mock-model")
 *   --tls-cert F --tls-key F  speak https with this PEM certificate and key
 *   --capture-dir D   write D/NNNN-<method>-<path>.json (request) and .resp.json / .resp.sse (answer)
 *   --quiet           no per-request line on stdout
 * Determinism: the answer is a pure function of (flags, request body); ids are hashes of the body,
 * time stamps are constant.
 */
const http = require('http'), https = require('https'), fs = require('fs'), path = require('path'), crypto = require('crypto');

const o = { port: 4010, api: 'all', latencyMs: 0, tokenMs: 0, tokens: 8, toolFirst: false, toolRounds: 1,
  toolCmd: 'echo hi', toolName: '', reasoning: false, text: '', key: '', failStatus: 0, failFirst: Infinity, retryAfter: '',
  modelIds: 'mock-model', tlsCert: '', tlsKey: '', captureDir: '', quiet: false };
for (let i = 2; i < process.argv.length; i++) {
  const a = process.argv[i]; if (!a.startsWith('--')) continue;
  let [k, v] = a.slice(2).split(/=(.*)/s);
  k = k.replace(/-([a-z])/g, (_, c) => c.toUpperCase());
  if (!(k in o)) { console.error('unknown flag ' + a); process.exit(2); }
  if (typeof o[k] === 'boolean') o[k] = true;
  else { if (v === undefined) v = process.argv[++i]; o[k] = typeof o[k] === 'number' ? Number(v) : v; }
}
const capDir = () => fs.mkdirSync(o.captureDir, { recursive: true });
if (o.captureDir) capDir();

const CREATED = 1700000000;
const sleep = ms => ms > 0 ? new Promise(r => setTimeout(r, ms)) : null;
const hash = (s, n = 24) => crypto.createHash('sha256').update(s).digest('hex').slice(0, n);
let seq = 0, modelCalls = 0;

const SHELLISH = ['exec', 'bash', 'Bash', 'exec_command', 'shell_command', 'shell', 'local_shell', 'run_shell_command',
  'developer__shell', 'terminal', 'run_command', 'execute_command'];
function toolList(kind, b) {
  if (kind === 'chat') return (b.tools || []).map(t => ({ name: t.function && t.function.name, schema: t.function && t.function.parameters })).filter(t => t.name);
  if (kind === 'responses') { const out = []; for (const t of b.tools || []) { if (t.type === 'function') out.push({ name: t.name, schema: t.parameters });
      else if (t.type === 'local_shell') out.push({ name: 'local_shell', type: 'local_shell' }); } return out; }
  if (kind === 'anthropic') return (b.tools || []).filter(t => t.name).map(t => ({ name: t.name, schema: t.input_schema }));
  if (kind === 'gemini') return (b.tools || []).flatMap(t => t.functionDeclarations || []).map(t => ({ name: t.name, schema: t.parameters || t.parametersJsonSchema }));
  return [];
}
function pickTool(kind, b) {
  const ts = toolList(kind, b);
  if (o.toolName) return ts.find(t => t.name === o.toolName);
  for (const n of SHELLISH) { const t = ts.find(t => t.name === n); if (t) return t; }
  return undefined;
}
function toolArgs(t) {
  if (t.type === 'local_shell') return { type: 'exec', command: ['bash', '-lc', o.toolCmd] };
  const p = (t.schema && t.schema.properties) || {}, a = {};
  const strish = (k) => { const s = p[k]; return s && s.type === 'array' ? ['bash', '-lc', o.toolCmd] : o.toolCmd; };
  if (p.command) a.command = strish('command'); else if (p.cmd) a.cmd = strish('cmd'); else a.command = o.toolCmd;
  for (const r of (t.schema && t.schema.required) || []) if (!(r in a)) {
    const ty = p[r] && p[r].type; a[r] = ty === 'number' || ty === 'integer' ? 10000 : ty === 'boolean' ? false : ty === 'array' ? [] : ty === 'object' ? {} : 'mock call'; }
  return a;
}
// rounds = number of tool results since the newest assistant message that had no tool call.  User messages
// do not reset it: openclaw appends a user-role "internal context" message AFTER the tool results.
function rounds(kind, b) {
  let n = 0;
  if (kind === 'chat') for (const m of b.messages || []) { if (m.role === 'tool') n++; else if (m.role === 'assistant' && !(m.tool_calls || []).length) n = 0; }
  else if (kind === 'responses') for (const m of Array.isArray(b.input) ? b.input : []) { if (/_call_output$/.test(m.type || '')) n++; else if (m.role === 'assistant') n = 0; }
  else if (kind === 'anthropic') for (const m of b.messages || []) { const c = Array.isArray(m.content) ? m.content : [];
      if (m.role === 'assistant') { if (!c.some(x => x.type === 'tool_use')) n = 0; } else n += c.filter(x => x.type === 'tool_result').length; }
  else if (kind === 'gemini') for (const m of b.contents || []) { const c = m.parts || [];
      if (m.role === 'model') { if (!c.some(x => x.functionCall)) n = 0; } else n += c.filter(x => x.functionResponse).length; }
  return n;
}
function words(n) { const w = []; for (let i = 1; i <= n; i++) w.push((i > 1 ? ' ' : '') + 'tok' + i); return w; }
const finalTokens = () => o.text ? o.text.split(/(?= )/) : words(o.tokens);

function plan(kind, b, raw) {
  const id = hash(raw), t = o.toolFirst ? pickTool(kind, b) : undefined;
  const think = o.reasoning ? ['mock', ' thinking', ' about', ' it'] : [];
  const inTok = Math.ceil(raw.length / 4);
  if (t && rounds(kind, b) < o.toolRounds) return { id, think, tool: t, args: toolArgs(t), toks: [], inTok, outTok: 5 };
  const toks = finalTokens(); return { id, think, toks, inTok, outTok: toks.length };
}

class Out { // response writer that also keeps a copy for the capture
  constructor(res, cap) { this.res = res; this.cap = cap; this.buf = []; }
  head(st, h) { this.st = st; this.res.writeHead(st, h); this.res.flushHeaders && this.res.flushHeaders(); }
  w(s) { if (this.cap) this.buf.push(s); this.res.write(s); }
  end(s) { if (s !== undefined) this.w(s); this.res.end(); if (this.cap) fs.writeFileSync(this.cap + (this.sse ? '.resp.sse' : '.resp.json'), this.buf.join('')); }
  json(st, j) { const s = JSON.stringify(j); this.head(st, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(s) }); this.end(s); }
  startSse() { this.sse = true; this.head(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', connection: 'keep-alive' }); }
  data(j) { this.w('data: ' + JSON.stringify(j) + '\n\n'); }
  ev(name, j) { this.w('event: ' + name + '\ndata: ' + JSON.stringify(j) + '\n\n'); }
}

async function chat(out, b, raw) {
  const p = plan('chat', b, raw), model = b.model, id = 'chatcmpl-' + p.id;
  const usage = { prompt_tokens: p.inTok, completion_tokens: p.outTok, total_tokens: p.inTok + p.outTok };
  const tc = p.tool && { id: 'call_' + p.id, type: 'function', function: { name: p.tool.name, arguments: JSON.stringify(p.args) } };
  const fin = tc ? 'tool_calls' : 'stop';
  if (!b.stream) {
    const message = { role: 'assistant', content: tc ? null : p.toks.join('') };
    if (p.think.length) message.reasoning_content = p.think.join('');
    if (tc) message.tool_calls = [tc];
    return out.json(200, { id, object: 'chat.completion', created: CREATED, model, choices: [{ index: 0, message, finish_reason: fin }], usage });
  }
  const iu = b.stream_options && b.stream_options.include_usage;
  const ch = (delta, finish_reason = null) => { const c = { id, object: 'chat.completion.chunk', created: CREATED, model, choices: [{ index: 0, delta, finish_reason }] }; if (iu) c.usage = null; return c; };
  out.startSse(); out.data(ch({ role: 'assistant', content: tc ? null : '' }));
  for (const t of p.think) { out.data(ch({ reasoning_content: t })); await sleep(o.tokenMs); }
  if (tc) {
    out.data(ch({ tool_calls: [{ index: 0, id: tc.id, type: 'function', function: { name: tc.function.name, arguments: '' } }] }));
    const a = tc.function.arguments, h = a.length >> 1;
    for (const part of [a.slice(0, h), a.slice(h)]) { out.data(ch({ tool_calls: [{ index: 0, function: { arguments: part } }] })); await sleep(o.tokenMs); }
  } else for (const t of p.toks) { out.data(ch({ content: t })); await sleep(o.tokenMs); }
  out.data(ch({}, fin));
  if (iu) out.data({ id, object: 'chat.completion.chunk', created: CREATED, model, choices: [], usage });
  out.end('data: [DONE]\n\n');
}

async function responses(out, b, raw) {
  const p = plan('responses', b, raw), rid = 'resp_' + p.id;
  const usage = { input_tokens: p.inTok, input_tokens_details: { cached_tokens: 0 }, output_tokens: p.outTok, output_tokens_details: { reasoning_tokens: 0 }, total_tokens: p.inTok + p.outTok };
  const base = (status, output, u) => ({ id: rid, object: 'response', created_at: CREATED, status, error: null, incomplete_details: null, instructions: null, max_output_tokens: null,
    model: b.model, output, parallel_tool_calls: true, previous_response_id: null, reasoning: { effort: null, summary: null }, store: false, temperature: 1, text: { format: { type: 'text' } },
    tool_choice: 'auto', tools: [], top_p: 1, truncation: 'disabled', usage: u || null, user: null, metadata: {} });
  const items = [];
  if (p.think.length) items.push({ id: 'rs_' + p.id, type: 'reasoning', summary: [{ type: 'summary_text', text: p.think.join('') }], encrypted_content: 'bW9jaw==' });
  if (p.tool) {
    if (p.tool.type === 'local_shell') items.push({ id: 'lsh_' + p.id, type: 'local_shell_call', call_id: 'call_' + p.id, status: 'completed', action: p.args });
    else items.push({ id: 'fc_' + p.id, type: 'function_call', status: 'completed', call_id: 'call_' + p.id, name: p.tool.name, arguments: JSON.stringify(p.args) });
  } else items.push({ id: 'msg_' + p.id, type: 'message', status: 'completed', role: 'assistant', content: [{ type: 'output_text', text: p.toks.join(''), annotations: [], logprobs: [] }] });
  if (!b.stream) return out.json(200, base('completed', items, usage));
  let n = 0; const ev = (type, j) => out.ev(type, { type, sequence_number: n++, ...j });
  out.startSse();
  ev('response.created', { response: base('in_progress', []) }); ev('response.in_progress', { response: base('in_progress', []) });
  for (let i = 0; i < items.length; i++) {
    const it = items[i], ref = { item_id: it.id, output_index: i };
    if (it.type === 'reasoning') {
      ev('response.output_item.added', { output_index: i, item: { ...it, summary: [], encrypted_content: '' } });
      ev('response.reasoning_summary_part.added', { ...ref, summary_index: 0, part: { type: 'summary_text', text: '' } });
      for (const t of p.think) { ev('response.reasoning_summary_text.delta', { ...ref, summary_index: 0, delta: t }); await sleep(o.tokenMs); }
      ev('response.reasoning_summary_text.done', { ...ref, summary_index: 0, text: p.think.join('') });
      ev('response.reasoning_summary_part.done', { ...ref, summary_index: 0, part: it.summary[0] });
    } else if (it.type === 'function_call') {
      ev('response.output_item.added', { output_index: i, item: { ...it, status: 'in_progress', arguments: '' } });
      ev('response.function_call_arguments.delta', { ...ref, delta: it.arguments });
      ev('response.function_call_arguments.done', { ...ref, name: it.name, arguments: it.arguments });
    } else if (it.type === 'message') {
      ev('response.output_item.added', { output_index: i, item: { ...it, status: 'in_progress', content: [] } });
      ev('response.content_part.added', { ...ref, content_index: 0, part: { type: 'output_text', text: '', annotations: [], logprobs: [] } });
      for (const t of p.toks) { ev('response.output_text.delta', { ...ref, content_index: 0, delta: t, logprobs: [] }); await sleep(o.tokenMs); }
      ev('response.output_text.done', { ...ref, content_index: 0, text: p.toks.join(''), logprobs: [] });
      ev('response.content_part.done', { ...ref, content_index: 0, part: it.content[0] });
    } else ev('response.output_item.added', { output_index: i, item: it });
    ev('response.output_item.done', { output_index: i, item: it });
  }
  ev('response.completed', { response: base('completed', items, usage) });
  out.end();
}

async function anthropic(out, b, raw) {
  const p = plan('anthropic', b, raw), id = 'msg_' + p.id;
  const blocks = [];
  if (p.think.length) blocks.push({ type: 'thinking', thinking: p.think.join(''), signature: 'bW9jay1zaWduYXR1cmU=' });
  if (p.tool) blocks.push({ type: 'tool_use', id: 'toolu_' + p.id, name: p.tool.name, input: p.args }); else blocks.push({ type: 'text', text: p.toks.join('') });
  const stop_reason = p.tool ? 'tool_use' : 'end_turn';
  const usage = { input_tokens: p.inTok, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: p.outTok };
  if (!b.stream) return out.json(200, { id, type: 'message', role: 'assistant', model: b.model, content: blocks, stop_reason, stop_sequence: null, usage });
  const ev = (type, j) => out.ev(type, { type, ...j });
  out.startSse();
  ev('message_start', { message: { id, type: 'message', role: 'assistant', model: b.model, content: [], stop_reason: null, stop_sequence: null, usage: { ...usage, output_tokens: 1 } } });
  ev('ping', {});
  for (let i = 0; i < blocks.length; i++) {
    const k = blocks[i];
    if (k.type === 'thinking') {
      ev('content_block_start', { index: i, content_block: { type: 'thinking', thinking: '', signature: '' } });
      for (const t of p.think) { ev('content_block_delta', { index: i, delta: { type: 'thinking_delta', thinking: t } }); await sleep(o.tokenMs); }
      ev('content_block_delta', { index: i, delta: { type: 'signature_delta', signature: k.signature } });
    } else if (k.type === 'tool_use') {
      ev('content_block_start', { index: i, content_block: { ...k, input: {} } });
      const a = JSON.stringify(k.input), h = a.length >> 1;
      for (const part of [a.slice(0, h), a.slice(h)]) { ev('content_block_delta', { index: i, delta: { type: 'input_json_delta', partial_json: part } }); await sleep(o.tokenMs); }
    } else {
      ev('content_block_start', { index: i, content_block: { type: 'text', text: '' } });
      for (const t of p.toks) { ev('content_block_delta', { index: i, delta: { type: 'text_delta', text: t } }); await sleep(o.tokenMs); }
    }
    ev('content_block_stop', { index: i });
  }
  ev('message_delta', { delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: p.outTok } });
  ev('message_stop', {});
  out.end();
}

async function gemini(out, b, raw, model, streaming, sse) {
  const p = plan('gemini', b, raw);
  const um = { promptTokenCount: p.inTok, candidatesTokenCount: p.outTok, totalTokenCount: p.inTok + p.outTok };
  const mk = (parts, fin) => ({ candidates: [{ index: 0, content: { role: 'model', parts }, ...(fin ? { finishReason: 'STOP' } : {}) }], usageMetadata: um, modelVersion: model, responseId: p.id });
  const parts = []; if (p.think.length) parts.push({ text: p.think.join(''), thought: true });
  if (p.tool) parts.push({ functionCall: { id: 'fc_' + p.id, name: p.tool.name, args: p.args }, thoughtSignature: 'bW9jaw==' });
  if (!streaming) { if (!p.tool) parts.push({ text: p.toks.join('') }); return out.json(200, mk(parts, true)); }
  const ch = parts.map(x => [x]); if (!p.tool) for (const t of p.toks) ch.push([{ text: t }]);
  if (sse) { out.startSse(); for (let i = 0; i < ch.length; i++) { out.data(mk(ch[i], i === ch.length - 1)); await sleep(o.tokenMs); } return out.end(); }
  out.json(200, ch.map((c, i) => mk(c, i === ch.length - 1)));
}

const onRequest = (req, res) => {
  const chunks = []; req.on('data', c => chunks.push(c)); req.on('error', () => {});
  req.on('end', async () => {
    const n = ++seq, raw = Buffer.concat(chunks).toString('utf8'), u = new URL(req.url, 'http://x');
    let b = {}; try { b = raw ? JSON.parse(raw) : {}; } catch { b = { __unparsed: raw.slice(0, 2000) }; }
    const p = u.pathname.replace(/\/+/g, '/').replace(/\/$/, '') || '/';
    const cap = o.captureDir ? path.join(o.captureDir, String(n).padStart(4, '0') + '-' + req.method + p.replace(/[^A-Za-z0-9.:-]+/g, '_').slice(0, 80)) : '';
    if (cap) capDir();
    if (cap) fs.writeFileSync(cap + '.json', JSON.stringify({ n, method: req.method, url: req.url, headers: req.headers, rawHeaderNames: req.rawHeaders.filter((_, i) => i % 2 === 0), body: b }, null, 1));
    const out = new Out(res, cap), t0 = process.hrtime.bigint();
    res.on('close', () => { if (!o.quiet) console.log(JSON.stringify({ n, method: req.method, url: req.url, status: out.st, stream: !!b.stream, model: b.model,
      msgs: (b.messages || b.input || b.contents || []).length, tools: (b.tools || []).length, bytes: raw.length, ms: Number((process.hrtime.bigint() - t0) / 10000n) / 100, aborted: !res.writableEnded || undefined })); });
    const rt = s => p === s || p === '/v1' + s || p.endsWith('/v1' + s);
    const on = a => o.api === 'all' || o.api === a;
    try {
      if (req.method === 'HEAD' || p === '/' || p === '/healthz') return out.json(200, { ok: true });
      if (o.key) { const k = (req.headers.authorization || '').replace(/^Bearer /i, '') || req.headers['x-api-key'] || req.headers['x-goog-api-key'] || u.searchParams.get('key');
        if (k !== o.key) return out.json(401, { type: 'error', error: { type: 'authentication_error', code: 'invalid_api_key', message: 'bad key' } }); }
      if (req.method === 'GET' && rt('/models')) return out.json(200, { object: 'list', data: o.modelIds.split(',').map(id => ({ id, object: 'model', type: 'model', display_name: id, created: CREATED, created_at: '2023-11-14T22:13:20Z', owned_by: 'mock' })), has_more: false });
      if (req.method === 'GET' && /\/models\/[^:]+$/.test(p)) return out.json(200, { id: decodeURIComponent(p.split('/models/')[1]), object: 'model', created: CREATED, owned_by: 'mock' });
      const g = p.match(/\/models\/([^/:]+):(generateContent|streamGenerateContent|countTokens|embedContent)$/);
      const isModel = req.method === 'POST' && (rt('/chat/completions') || rt('/responses') || rt('/messages') || g);
      if (isModel) { modelCalls++; await sleep(o.latencyMs);
        const pf = p.match(/^\/fail-(\d+)\//), fs_ = pf ? Number(pf[1]) : o.failStatus;
        if (fs_ && (pf || modelCalls <= o.failFirst)) { if (o.retryAfter && (fs_ === 429 || fs_ === 503)) res.setHeader('retry-after', o.retryAfter);
          return out.json(fs_, { type: 'error', error: { type: 'api_error', code: 'mock_fail', message: 'mock failure ' + fs_ } }); } }
      if (req.method === 'POST' && rt('/chat/completions') && on('chat')) return await chat(out, b, raw);
      if (req.method === 'POST' && rt('/responses') && on('responses')) return await responses(out, b, raw);
      if (req.method === 'POST' && rt('/messages') && on('anthropic')) return await anthropic(out, b, raw);
      if (req.method === 'POST' && rt('/messages/count_tokens') && on('anthropic')) return out.json(200, { input_tokens: Math.ceil(raw.length / 4) });
      if (req.method === 'POST' && g && on('gemini')) { if (g[2] === 'countTokens') return out.json(200, { totalTokens: Math.ceil(raw.length / 4) });
        return await gemini(out, b, raw, g[1], g[2] === 'streamGenerateContent', u.searchParams.get('alt') === 'sse'); }
      if (req.method === 'POST' && rt('/embeddings')) { const inp = Array.isArray(b.input) ? b.input : [b.input];
        return out.json(200, { object: 'list', model: b.model, data: inp.map((x, i) => ({ object: 'embedding', index: i, embedding: Array.from({ length: 8 }, (_, k) => parseInt(hash(String(x) + k, 4), 16) / 65535) })), usage: { prompt_tokens: 1, total_tokens: 1 } }); }
      out.json(404, { error: { type: 'not_found_error', code: 'not_found', message: 'mock: no route ' + req.method + ' ' + p } });
    } catch (e) { console.error('mock error', e); try { res.destroy(); } catch {} }
  });
};
const server = o.tlsCert ? https.createServer({ cert: fs.readFileSync(o.tlsCert), key: fs.readFileSync(o.tlsKey) }, onRequest)
  : http.createServer(onRequest);
server.on('upgrade', (req, sock) => { const n = ++seq; console.log(JSON.stringify({ n, upgrade: req.url, headers: req.headers }));
  if (o.captureDir) fs.writeFileSync(path.join(o.captureDir, String(n).padStart(4, '0') + '-UPGRADE.json'), JSON.stringify({ url: req.url, headers: req.headers }, null, 1));
  sock.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'); });
server.keepAliveTimeout = 60000;
server.listen(o.port, '127.0.0.1', () => console.log('listening ' + server.address().port));
for (const s of ['SIGTERM', 'SIGINT']) process.on(s, () => process.exit(0));
