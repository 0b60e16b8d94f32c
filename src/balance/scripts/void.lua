-- void: frees a call's hold and remembers that the call is over.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then 4 call_sid.
--
-- Reply: {voided, 1 a hold was freed, or may be in the journal; or 0 there was none, revision}. Where
-- the wallet is unknown the call is remembered all the same, so that no load brings its hold back.
--
-- Worked example: a hold of 28000: {voided, 1, r}, and the wallet's held is 28000 less; again:
-- {voided, 0, r'}. r is greater than the hold's own revision, so the journal takes it.

local call_sid = ARGV[4]
local wallet = read_wallet()
local packed = redis.call('HGET', HOLDS, call_sid)
local freed, revision = wallet and 0 or 1, NOW
if wallet and packed then
  revision = math.max(NOW, release(wallet, call_sid, packed).revision + 1)
  write_sums(wallet)
  freed = 1
end
remember_settled({ call_sid })
return { 'voided', freed, revision }
