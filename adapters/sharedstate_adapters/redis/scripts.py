"""What runs inside the server: each script is one atomic step, and what changes anything can be asked twice.

Keys share one hash tag, so that a cluster keeps them on one node. Every change carries a nonce (the `op` key, stored
by the same script, with an expiry): asked again after a lost answer it says what it did and does nothing. It carries a
last moment, too, in the server's own time: what was under way for longer is refused, so that nobody's request arrives
after its sender has given up. All checks stand before the first write: a script that fails is not rolled back. The
server refuses a script for lack of memory only at its first writing command, which therefore is one that needs memory.
A request that was done already prolongs its mark: WAIT after that write waits for the first one, too.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Any, Final

DONE: Final = 1  # how the scripts of journals begin their answer: changed, or found changed by this request
LATE: Final = 0  # nothing was changed: somebody was first, or too much time has passed


def is_done(answer: Any) -> bool:
    """Whether an answer says that the change was made. Of a transition it is the time alone, which is quick to read."""
    return type(answer) is int or answer[0] == DONE


class Script:
    """A script and its name on the server; `writes` when an answer that was lost leaves a doubt."""

    __slots__ = ("sha", "text", "writes")

    def __init__(self, text: str, *, writes: bool) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.writes = writes


# KEYS: records, beat · ARGV: key -> record, beat, time
LOOK: Final = Script(
    """
local t = redis.call('TIME')
return {redis.call('HGET', KEYS[1], ARGV[1]), redis.call('GET', KEYS[2]), t[1], t[2]}
""",
    writes=False,
)

# A journal is a stream whose ids are its sequences; an entry that does not go on there is refused by the server itself.
_JOURNAL: Final = """
local function last_of(stream)
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return last and tonumber(string.match(last[1], '^%d+')) or 0
end
local function add(stream, seq, value, record, at)
  redis.call('XADD', stream, string.format('%.0f-0', seq), 'v', value, 'r', record, 't', at)
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
"""

# KEYS: records, beat, live set, journal, op, names, then records and beat of each other record that was looked at
# ARGV: key, op ttl, not after, head, beat | action, record, beat action, beat ttl, live action | collection, journal,
#       at, transition, count of others, then key, head, beat of each, then events …
# -> time in microseconds: done; {0, record, beat, time, record and beat of each other}: somebody was first, too late,
#    too early
WRITE: Final = Script(
    _JOURNAL
    + """
if redis.call('EXISTS', KEYS[5]) == 1 then
  redis.call('PEXPIRE', KEYS[5], ARGV[2])
  return t[1] * 1000000 + t[2]
end
local function head_of(raw)
  return raw and string.sub(raw, 1, (string.find(raw, '\\n', 1, true)) or 128) or ''
end
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local beat = redis.call('GET', KEYS[2])
local head = head_of(raw)
local others = tonumber(ARGV[15])
local told, changed = {0, raw, beat, t[1], t[2]}, false
for i = 1, others do
  local at = 13 + 3 * i
  local other = redis.call('HGET', KEYS[5 + 2 * i], ARGV[at])
  local sign = redis.call('GET', KEYS[6 + 2 * i])
  told[4 + 2 * i], told[5 + 2 * i] = other, sign
  changed = changed or head_of(other) ~= ARGV[at + 1] or (sign or '') ~= ARGV[at + 2]
end
if head ~= ARGV[4] or (beat or '') ~= ARGV[5] or now > tonumber(ARGV[3]) or now < tonumber(ARGV[13]) or changed then
  return told
end
local first = 16 + 3 * others
if #ARGV >= first then
  local seq = last_of(KEYS[4])
  if seq == 0 then redis.call('SADD', KEYS[6], 'journal ' .. ARGV[12]) end
  for i = first, #ARGV do
    seq = seq + 1
    add(KEYS[4], seq, ARGV[i], ARGV[14], ARGV[13])
  end
end
if ARGV[6] == 'put' then
  if head == '' then redis.call('SADD', KEYS[6], 'collection ' .. ARGV[11]) end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[7])
elseif ARGV[6] == 'delete' then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
if ARGV[8] == '-' then
  redis.call('DEL', KEYS[2])
elseif ARGV[8] ~= '' then
  redis.call('SET', KEYS[2], ARGV[8], 'PX', ARGV[9])
end
if ARGV[10] == '+' then
  redis.call('SADD', KEYS[3], ARGV[1])
elseif ARGV[10] == '-' then
  redis.call('SREM', KEYS[3], ARGV[1])
end
redis.call('SET', KEYS[5], '1', 'PX', ARGV[2])
return t[1] * 1000000 + t[2]
""",
    writes=True,
)

# KEYS: journal, op, names · ARGV: op ttl, not after, journal, value -> {1, sequence}, or {0, time}: too late
APPEND: Final = Script(
    _JOURNAL
    + """
local done = redis.call('GET', KEYS[2])
if done then
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
  return {1, done}
end
if now > tonumber(ARGV[2]) then return {0, t[1], t[2]} end
local seq = last_of(KEYS[1]) + 1
if seq == 1 then redis.call('SADD', KEYS[3], 'journal ' .. ARGV[3]) end
add(KEYS[1], seq, ARGV[4], '', string.format('%.0f', now))
redis.call('SET', KEYS[2], string.format('%.0f', seq), 'PX', ARGV[1])
return {1, string.format('%.0f', seq)}
""",
    writes=True,
)

# KEYS: journal, op, names · ARGV: op ttl, not after, journal, last sequence before, then value, record, at of each
# -> {1, sequence}, {0, time}: too late, {2, sequence}: the journal ends elsewhere
LOAD: Final = Script(
    _JOURNAL
    + """
local done = redis.call('GET', KEYS[2])
if done then
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
  return {1, done}
end
if now > tonumber(ARGV[2]) then return {0, t[1], t[2]} end
local seq = last_of(KEYS[1])
if seq ~= tonumber(ARGV[4]) then return {2, string.format('%.0f', seq)} end
if seq == 0 then redis.call('SADD', KEYS[3], 'journal ' .. ARGV[3]) end
for i = 5, #ARGV, 3 do
  seq = seq + 1
  add(KEYS[1], seq, ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
redis.call('SET', KEYS[2], string.format('%.0f', seq), 'PX', ARGV[1])
return {1, string.format('%.0f', seq)}
""",
    writes=True,
)

# KEYS: records · ARGV: cursor, count, beginning of the beat keys -> cursor, then key, record, beat of each
PAGE: Final = Script(
    """
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = {page[1]}
for i = 1, #page[2], 2 do
  local beat = false
  if string.match(page[2][i + 1], '^%d+ %d') then beat = redis.call('GET', ARGV[3] .. page[2][i]) end
  found[#found + 1] = page[2][i]
  found[#found + 1] = page[2][i + 1]
  found[#found + 1] = beat
end
return found
""",
    writes=False,
)

# KEYS: records · ARGV: beginning of the beat keys, keys … -> key, record, beat of each
PICK: Final = Script(
    """
local found = {}
for i = 2, #ARGV do
  found[#found + 1] = ARGV[i]
  found[#found + 1] = redis.call('HGET', KEYS[1], ARGV[i])
  found[#found + 1] = redis.call('GET', ARGV[1] .. ARGV[i])
end
return found
""",
    writes=False,
)
