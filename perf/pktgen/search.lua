-- Searches by halves; nothing here knows of Pktgen.
local search = {}

-- The greatest value between `least` and `most` for which `passes(value)` holds, to within `precision`; nil if there is none.
-- `most` is tried first.
function search.greatest(least, most, precision, passes)
  if passes(most) then
    return most
  end
  local good, bad = nil, most
  local low = least
  while bad - low > precision do
    local middle = low + (bad - low) / 2
    if passes(middle) then
      good, low = middle, middle
    else
      bad = middle
    end
  end
  if good == nil and passes(least) then
    good = least
  end
  return good
end

-- Doubles from `first` while `passes` holds, at most to `most`, then searches between the last two: RFC 9693 section 4.7.
function search.capacity(first, most, precision, passes)
  local good, next = nil, first
  while next <= most do
    if not passes(next) then
      return search.greatest(good or 1, next, math.max(1, precision * next), passes), next
    end
    good, next = next, 2 * next
  end
  return good, nil
end

return search
