{#- What DuckDB and Postgres spell differently. -#}

{#- A text as a JSON string, quoted and escaped. -#}
{% macro json_string(expression) %}{{ return(adapter.dispatch('json_string', 'twohands')(expression)) }}{% endmacro %}
{% macro default__json_string(expression) %}{{ return('cast(to_json(' ~ expression ~ ') as text)') }}{% endmacro %}

{#- A text whose order is that of its bytes, on every server and in every locale. -#}
{% macro by_bytes(expression) %}{{ return(adapter.dispatch('by_bytes', 'twohands')(expression)) }}{% endmacro %}
{% macro default__by_bytes(expression) %}{{ return(expression) }}{% endmacro %}
{% macro postgres__by_bytes(expression) %}{{ return('(' ~ expression ~ ') collate "C"') }}{% endmacro %}

{#- Rows of a group for which a condition is true. -#}
{% macro count_where(condition) %}{{ return('count(case when ' ~ condition ~ ' then 1 end)') }}{% endmacro %}

{#- Indexes that serve the replacement of a day; DuckDB prunes by its own statistics and wants none. -#}
{% macro day_index() %}
  {{ return([{'columns': ['day']}] if target.type == 'postgres' else []) }}
{% endmacro %}

{#-
  One batch on Postgres: the day's rows go, the new ones come. dbt-postgres's own strategy merges by a unique key, and
  a row whose interaction was deleted, or a day that became empty, would stay forever. The lock makes two builds take
  turns (one may be the child of a process that was killed): else both would delete, and both insert.
-#}
{% macro postgres__get_incremental_microbatch_sql(arg_dict) %}
  {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
  {%- set day = config.get('event_time') -%}
  {%- set batch = model['batch'] -%}
  lock table {{ arg_dict['target_relation'] }} in share row exclusive mode;

  delete from {{ arg_dict['target_relation'] }}
  where {{ day }} >= '{{ batch['event_time_start'] }}' and {{ day }} < '{{ batch['event_time_end'] }}';

  insert into {{ arg_dict['target_relation'] }} ({{ columns }})
  select {{ columns }} from {{ arg_dict['temp_relation'] }}
{% endmacro %}
