-- One step of the ledger over windows of one subject: what `Pages.settle` (pages.py) does in Python, atomically in Redis.
--
-- A window is a hash: `claimed` and `held` are the sums over all owners, and each owner has a field of its own with
-- its claim, what it holds, and its turn. The sums are kept as they change, so a step costs the same however many
-- owners there are.
--
-- KEYS  a window per line; all share one hash tag, so that they are on one node of a Cluster.
-- ARGV  turn, grace, share, endless, number of wishes;
--       per line: owner, end, claim, held, advance, limit;  per wish: requests, and an amount per line.
-- Gives {seconds, microseconds, late, admitted per wish..., and per line: advance, claimed, held}.
--
-- All numbers are whole and at most 2^53, which doubles hold exactly. They become text by %.0f only, since Lua's own
-- way rounds to 14 digits. Nothing is written before all is read: an error leaves everything as it was.

local turn, grace, share, endless, wishes =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local LINE = 6
local FIRST_WISH = 6 + #KEYS * LINE

-- The server's clock, since those of the processes may differ.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local lines, late = {}, 0
for i = 1, #KEYS do
  local at = 6 + (i - 1) * LINE
  lines[i] = {
    key = KEYS[i], field = 'owner:' .. ARGV[at], expires = tonumber(ARGV[at + 1]) + grace,
    claim = tonumber(ARGV[at + 2]), held = tonumber(ARGV[at + 3]),
    advance = tonumber(ARGV[at + 4]), limit = tonumber(ARGV[at + 5]),
  }
  if now >= lines[i].expires then late = 1 end
end

local reply = {tonumber(time[1]), tonumber(time[2]), late}

local function answer(admitted)
  for w = 1, wishes do reply[#reply + 1] = admitted and admitted[w] or 0 end
  for _, line in ipairs(lines) do
    reply[#reply + 1] = line.advanced or 0
    reply[#reply + 1] = line.balance and line.balance.claimed or 0
    reply[#reply + 1] = line.balance and line.balance.held or 0
  end
  return reply
end

if late == 1 then return answer() end

-- What is known, by key and not by line: should a window come twice, both lines see the same.
local pages = {}
for _, line in ipairs(lines) do
  local page = pages[line.key]
  if not page then
    local sums = redis.call('HMGET', line.key, 'claimed', 'held')
    page = {new = not sums[1], claimed = tonumber(sums[1] or 0), held = tonumber(sums[2] or 0), owners = {}}
    pages[line.key] = page
  end
  line.page = page
  if not page.owners[line.field] then
    local claim, held, before = string.match(redis.call('HGET', line.key, line.field) or '0:0:0', '^(%d+):(%d+):(%d+)$')
    page.owners[line.field] = {claim = tonumber(claim), held = tonumber(held), turn = tonumber(before)}
  end
end

local function put(line, claim, held)
  local page, owner = line.page, line.page.owners[line.field]
  page.claimed, page.held = page.claimed + claim - owner.claim, page.held + held - owner.held
  owner.claim, owner.held, owner.turn, owner.changed = claim, held, turn, true
end

local function balance(line)
  line.balance = {claimed = line.page.claimed, held = line.page.held}
end

-- Take in what the owners say. What comes late (a turn that is not newer) changes nothing and is granted nothing.
local stale = false
for _, line in ipairs(lines) do
  if turn <= line.page.owners[line.field].turn then stale = true else put(line, line.claim, line.held) end
end

local admitted = {}
if stale then
  for _, line in ipairs(lines) do balance(line) end
else
  local free, taken = {}, {}
  for i, line in ipairs(lines) do
    free[i], taken[i] = line.limit == -1 and endless or math.max(0, line.limit - line.page.claimed), 0
  end
  for w = 1, wishes do
    local at = FIRST_WISH + (w - 1) * (#KEYS + 1)
    local count = tonumber(ARGV[at])
    for i = 1, #KEYS do
      local amount = tonumber(ARGV[at + i])
      -- fmod is exact where a division rounds.
      if amount > 0 then count = math.min(count, (free[i] - math.fmod(free[i], amount)) / amount) end
    end
    for i = 1, #KEYS do
      local units = count * tonumber(ARGV[at + i])
      free[i], taken[i] = free[i] - units, taken[i] + units
    end
    admitted[w] = count
  end
  for i, line in ipairs(lines) do
    line.advanced = math.max(0, math.min(line.advance, math.floor(free[i] / share)))
    put(line, line.claim + taken[i] + line.advanced, line.held + line.advanced)
    balance(line)
  end
end

for _, line in ipairs(lines) do
  local page, owner = line.page, line.page.owners[line.field]
  if owner.changed then
    redis.call('HSET', line.key,
      'claimed', string.format('%.0f', page.claimed), 'held', string.format('%.0f', page.held),
      line.field, string.format('%.0f:%.0f:%.0f', owner.claim, owner.held, owner.turn))
    if page.new then redis.call('EXPIREAT', line.key, string.format('%.0f', line.expires)) end
    owner.changed, page.new = false, false
  end
end

return answer(admitted)
