{#- The mapping from a team's own log table to the interactions contract: copy it and change the right-hand sides. -#}
{{ config(enabled=(var('warehouse_logs') | string | lower == 'true'), materialized='view', event_time='day', tags=['daily']) }}

select
  cast(asked_at as date) as day, -- asked_at is a timestamp in UTC; keep the expression simple so that days are pruned
  cast(request_id as text) as id,
  cast(asked_at as timestamptz) as occurred_at,
  cast(coalesce(updated_at, asked_at) as timestamptz) as received_at,
  cast(customer as text) as user_id,
  cast('main' as text) as variant,
  cast(question as text) as prompt,
  cast(answer as text) as response,
  cast(retrieved as text) as passages, -- JSON list of {"chunk_id", "doc_id", "text_sha", "text"}
  cast(release as text) as release_id,
  case when thumb > 0 then 'up' when thumb < 0 then 'down' else 'none' end as feedback,
  cast(agent_edit as text) as corrected_response,
  cast(json_valid as boolean) as schema_ok,
  cast(intent as text) as topic,
  cast(null as text) as tags
from {{ source('warehouse_logs', 'chat_logs') }}
where not coalesce(is_deleted, false) and question is not null and answer is not null
