-- Statistics of shared screens: what was captured, kept and dropped. Never what was shown.
create table frame_session (
  tenant_id uuid not null,
  conversation_id uuid not null,
  session_id uuid not null,
  start_time timestamptz not null,
  last_time timestamptz not null,
  ignored_count bigint not null default 0,
  superseded_count bigint not null default 0,
  read_count bigint not null default 0,
  primary key (tenant_id, conversation_id, session_id)
);
select fleetkit_protect('frame_session');

create table frame_count (
  tenant_id uuid not null,
  conversation_id uuid not null,
  session_id uuid not null,
  content_type text not null
    check (content_type in ('code_text', 'static_ui', 'documentation', 'video')),
  captured_count bigint not null default 0,
  kept_count bigint not null default 0,
  primary key (tenant_id, conversation_id, session_id, content_type),
  check (kept_count <= captured_count)
);
select fleetkit_protect('frame_count');

create table type_transition (
  tenant_id uuid not null,
  conversation_id uuid not null,
  session_id uuid not null,
  from_type text not null,
  to_type text not null,
  count bigint not null default 0,
  primary key (tenant_id, conversation_id, session_id, from_type, to_type)
);
select fleetkit_protect('type_transition');
