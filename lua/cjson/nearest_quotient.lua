--- Divides numbers of more digits than a double holds, and rounds once: what makes long decimals fast to read.

local SPLITTER = 2 ^ 27 + 1
-- The correction below is off by far less than this part of it.
local MARGIN = 2 ^ -40

--- Returns the exact product of two doubles: the nearest double, and its error.
local function product_and_error(a, b)
  local product = a * b
  local a_high, b_high = a * SPLITTER, b * SPLITTER
  a_high, b_high = a_high - (a_high - a), b_high - (b_high - b)
  local a_low, b_low = a - a_high, b - b_high
  return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
end

--- Returns the double nearest to (high * scale + low) / divisor. All are exact integers, and low is below scale.
---@param high number
---@param scale number
---@param low number
---@param divisor number
---@return number? quotient nil when it lies too near the middle of two doubles to tell which is nearer
return function(high, scale, low, divisor)
  local product, error = product_and_error(high, scale)
  local dividend = product + low
  local dividend_error = (low - (dividend - product)) + error

  local quotient = dividend / divisor
  local back, back_error = product_and_error(quotient, divisor)
  local correction = (((dividend - back) - back_error) + dividend_error) / divisor

  local nearest = quotient + correction * (1 + MARGIN)
  if nearest == quotient + correction * (1 - MARGIN) then
    return nearest
  end
end
