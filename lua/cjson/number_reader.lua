--- Reads numbers out of JSON text: the forms of JSON, and the wider ones that C's strtod takes.

local nearest_quotient = require("cjson.nearest_quotient")

local byte, find, match, sub = string.byte, string.find, string.match, string.sub

local MINUS, PLUS, POINT, ZERO, NINE = 45, 43, 46, 48, 57
local LOWER_E, UPPER_E, LOWER_X, UPPER_X = 101, 69, 120, 88

-- Doubles hold integers of this many digits and these powers of ten exactly, so one multiplication or division
-- of the two rounds once: the result is the nearest double, as from tonumber.
local EXACT_DIGITS = 15
local LAST_EXACT_POWER = 22
local POWERS = {}
for exponent = 0, LAST_EXACT_POWER do
  POWERS[exponent] = 10 ^ exponent
end

-- From here on, an integer has all the digits that it can take exactly.
local FULL = POWERS[EXACT_DIGITS - 1]

local NAN, INFINITY = tonumber("nan"), math.huge

local function is_digit(char)
  return char >= ZERO and char <= NINE
end

--- Reads up to 15 digits, eight or four at a time. There is no loop: LuaJIT compiles one inside of the loop over a
--- list's numbers well or badly by chance, and badly, each number takes twice the time.
---@param text string
---@param pos integer
---@param sum number what the digits before `pos` amount to
---@return number sum below 10^15
---@return integer pos
local function read_digits(text, pos, sum)
  local a, b, c, d, e, f, g, h = byte(text, pos, pos + 7)
  if h and sum < 1e7 and is_digit(a) and is_digit(b) and is_digit(c) and is_digit(d)
    and is_digit(e) and is_digit(f) and is_digit(g) and is_digit(h) then
    local digits = a * 1e7 + b * 1e6 + c * 1e5 + d * 1e4 + e * 1e3 + f * 1e2 + g * 10 + h
    sum = sum * 1e8 + (digits - ZERO * 11111111)
    pos = pos + 8
    a, b, c, d = byte(text, pos, pos + 3)
  end
  if d and sum < 1e11 and is_digit(a) and is_digit(b) and is_digit(c) and is_digit(d) then
    sum = sum * 1e4 + (a * 1e3 + b * 1e2 + c * 10 + d - ZERO * 1111)
    pos = pos + 4
    a, b, c = byte(text, pos, pos + 2)
  end
  if a and is_digit(a) and sum < FULL then
    sum, pos = sum * 10 + (a - ZERO), pos + 1
    if b and is_digit(b) and sum < FULL then
      sum, pos = sum * 10 + (b - ZERO), pos + 1
      if c and is_digit(c) and sum < FULL then
        return sum * 10 + (c - ZERO), pos + 1
      end
    end
  end
  return sum, pos
end

local function read_many(text, pos, sum)
  local char = byte(text, pos) or 0
  while is_digit(char) do
    sum = sum * 10 + (char - ZERO)
    pos = pos + 1
    char = byte(text, pos) or 0
  end
  return sum, pos, char
end

--- Reads all digits that there are, often none.
---@return number sum exact if it is below 10^15
---@return integer pos
---@return integer char the byte at `pos`, 0 at the end
local function read_all(text, pos, sum)
  local char = byte(text, pos) or 0
  if is_digit(char) then
    sum, pos = read_digits(text, pos, sum)
    char = byte(text, pos) or 0
    if is_digit(char) then
      return read_many(text, pos, sum)
    end
  end
  return sum, pos, char
end

--- Reads an exponent; one without digits is no part of the number, as in C.
---@param text string
---@param pos integer where the "e" stands
---@return number exponent, integer pos
local function read_exponent(text, pos)
  local sign = byte(text, pos + 1) or 0
  local first = (sign == MINUS or sign == PLUS) and pos + 2 or pos + 1
  local exponent, past = read_all(text, first, 0)
  if past == first then
    return 0, pos
  end
  return sign == MINUS and -exponent or exponent, past
end

--- Returns the double nearest to the integer that `high` starts and `low` ends, times ten to the power.
---@return number? nil when it takes more than this to tell
local function scale(high, low, low_digits, power)
  if power < -LAST_EXACT_POWER or power > LAST_EXACT_POWER then
    return nil
  elseif low_digits == 0 then
    return power < 0 and high / POWERS[-power] or high * POWERS[power]
  elseif low_digits <= EXACT_DIGITS and power <= 0 then
    return nearest_quotient(high, POWERS[low_digits], low, POWERS[-power])
  end
end

---@param text string
---@param start integer
---@param first integer past any sign: the first digit or the point
---@return number? value nil when there are no digits
---@return integer pos
local function read_decimal(text, start, first)
  local high, low_start = read_digits(text, first, 0)
  local low, pos, char = read_all(text, low_start, 0)
  local digits, low_digits, power = pos - first, pos - low_start, 0
  if digits > 0 and low_digits == 0 and char ~= POINT and char ~= LOWER_E and char ~= UPPER_E then
    return byte(text, start) == MINUS and -high or high, pos
  end
  if char == POINT then
    local fraction = pos + 1
    low_start = fraction
    if low_digits == 0 then
      high, low_start = read_digits(text, fraction, high)
    end
    low, pos, char = read_all(text, low_start, low)
    low_digits = low_digits + pos - low_start
    power = fraction - pos
    digits = digits - power
  end
  if digits == 0 then
    return nil, start
  end
  if char == LOWER_E or char == UPPER_E then
    local exponent
    exponent, pos = read_exponent(text, pos)
    power = power + exponent
  end
  local value = scale(high, low, low_digits, power)
    or tonumber(sub(text, first, pos - 1))
    -- tonumber gives up on exponents of many digits.
    or (power < 0 or high == 0) and 0
    or INFINITY
  return byte(text, start) == MINUS and -value or value, pos
end

local function read_hexadecimal(text, start, pos)
  local past = match(text, "^%x+%.?%x*()", pos + 2) or match(text, "^%.%x+()", pos + 2)
  if not past then
    return byte(text, start) == MINUS and -0.0 or 0, pos + 1
  end
  local value = tonumber(sub(text, pos, past - 1))
  local exponent, end_of_exponent = match(text, "^[pP]([+-]?%d+)()", past)
  if exponent then
    -- tonumber gives up on exponents of many digits.
    value = tonumber(sub(text, pos, end_of_exponent - 1)) or value * 2 ^ tonumber(exponent)
  end
  return byte(text, start) == MINUS and -value or value, end_of_exponent or past
end

local function read_infinity_or_nan(text, start, pos)
  local past = match(text, "^[iI][nN][fF]()", pos)
  if past then
    past = match(text, "^[iI][nN][iI][tT][yY]()", past) or past
    return byte(text, start) == MINUS and -INFINITY or INFINITY, past
  end
  past = match(text, "^[nN][aA][nN]()", pos)
  if past then
    return NAN, match(text, "^%([%w_]*%)()", past) or past
  end
  return nil, start
end

local reader = {}

--- Reads the number at `start`, where a digit or a minus sign stands.
---@param text string
---@param start integer
---@param lenient boolean take infinity, NaN, hexadecimal digits and leading zeros
---@return number? value nil when there is no such number
---@return integer pos past the number
function reader.read(text, start, lenient)
  local pos = byte(text, start) == MINUS and start + 1 or start
  local char = byte(text, pos) or 0
  if char == ZERO then
    local after = byte(text, pos + 1) or 0
    local is_hexadecimal = after == LOWER_X or after == UPPER_X
    if not lenient and (is_hexadecimal or is_digit(after)) then
      return nil, start
    elseif is_hexadecimal then
      return read_hexadecimal(text, start, pos)
    end
  elseif lenient and char > NINE then
    return read_infinity_or_nan(text, start, pos)
  end
  return read_decimal(text, start, pos)
end

--- Reads what JSON has no number for at all: infinity, NaN, or any number with a plus sign.
---@param text string
---@param start integer
---@return number? value nil when there is no such number
---@return integer pos past the number
function reader.read_irregular(text, start)
  if byte(text, start) ~= PLUS then
    return read_infinity_or_nan(text, start, start)
  elseif find(text, "^%-", start + 1) then
    return nil, start
  end
  return reader.read(text, start + 1, true)
end

return reader
