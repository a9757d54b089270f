{#-
  The mapping from a team's own log table to the interactions contract. Copy this file beside itself, change the
  right-hand sides, and name the copy in twohands.toml ([warehouse.logs] model). One row is one version of an
  interaction; several rows may have the same id, of which the one received last counts.
-#}
select
  cast(asked_at as date) as day, -- every session here has the time zone UTC; see "An index" in README.md
  cast(request_id as text) as id,
  cast(asked_at as timestamptz) as occurred_at, -- a timestamp without a zone counts as UTC
  cast(coalesce(updated_at, asked_at) as timestamptz) as received_at,
  cast(customer as text) as user_id,
  cast('main' as text) as variant,
  cast(question as text) as prompt,
  cast(answer as text) as response,
  cast(coalesce(retrieved, '[]') as text) as passages, -- JSON list of {"chunk_id", "doc_id", "text_sha", "text"}
  cast(coalesce(release, 'unknown') as text) as release_id,
  case when thumb > 0 then 'up' when thumb < 0 then 'down' else 'none' end as feedback,
  cast(agent_edit as text) as corrected_response,
  cast(json_valid as boolean) as schema_ok,
  cast(intent as text) as topic,
  cast(null as text) as tags, -- JSON list of texts
  coalesce(is_deleted, false) as deleted -- a row that is flagged, and a row that is gone, are withdrawn alike
from {{ source('warehouse_logs', 'chat_logs') }}
where answer is not null or is_deleted -- a question without an answer is no interaction yet
