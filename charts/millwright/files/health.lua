-- Health of an OptimizationJob for Argo CD: resource.customizations.health.millwright.dev_OptimizationJob
local health = { status = "Progressing", message = "Waiting for the operator to see the job" }
local status = obj.status
if status == nil or status.observedGeneration == nil or status.observedGeneration < 0 then
  return health
end
if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  health.message = "Waiting for the operator to see generation " .. string.format("%d", obj.metadata.generation)
  return health
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

-- The first that is True decides; a job that failed, and one that waits for an edit, are Stalled as well
local verdicts = {
  { "Failed", "Degraded" },
  { "Stalled", "Degraded" },
  { "Suspended", "Suspended" },
  { "Ready", "Healthy" },
}
for _, verdict in ipairs(verdicts) do
  local condition = conditions[verdict[1]]
  if condition ~= nil and condition.status == "True" then
    health.status = verdict[2]
    health.message = condition.reason .. ": " .. (condition.message or "")
    return health
  end
end

local ready = conditions["Ready"]
if ready ~= nil then
  health.message = ready.reason .. ": " .. (ready.message or "")
end
return health
